"""TLS contexts, built once, before serving: a context costs tens of milliseconds.

Protocols and cipher grades are said in Postfix's words: "smtpd_tls_protocols = >=TLSv1.2",
"!SSLv3, !TLSv1", "TLSv1.2 TLSv1.3"; "smtpd_tls_ciphers = high" with the lists that
tls_high_cipherlist and its like hold. Certificates and keys come as PEM bytes (read while the
process was still root) or as paths; bytes reach OpenSSL through an anonymous memory file.

Errors: TlsUnusable, with a text for the log; nothing half-built is ever given out.
Standards: RFC 8446; RFC 8996 (what the default bars); RFC 6066 section 3.
"""

import os
import re
import ssl
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from posthouse.net.tls_layer import NamedSSLObject, reason

CIPHER_LISTS: Mapping[str, str] = {
    "export": "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH",
    "low": "aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH",
    "medium": "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH",
    "high": "aNULL:-aNULL:HIGH:@STRENGTH",
    "null": "eNULL:!aNULL",
}
"""The defaults of tls_<grade>_cipherlist."""

VERSIONS: Mapping[str, ssl.TLSVersion] = {
    "sslv3": ssl.TLSVersion.SSLv3,
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
_ORDER = tuple(VERSIONS.values())


OPTIONS: Mapping[str, int] = {
    "ENABLE_MIDDLEBOX_COMPAT": 0x100000,
    "LEGACY_SERVER_CONNECT": 0x4,
    "NO_COMPRESSION": 0x20000,
    "NO_RENEGOTIATION": 0x40000000,
    "NO_SESSION_RESUMPTION_ON_RENEGOTIATION": 0x10000,
    "NO_TICKET": 0x4000,
    "PRIORITIZE_CHACHA": 0x200000,
}
"""OpenSSL's numbers of tls_ssl_options' words, SSL_CTX_set_options(3)."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----[^\n]*(?:\n|$)", re.DOTALL)


class TlsUnusable(Exception):
    """The certificate, key, protocol or cipher words cannot be used. The text says which and why."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain and its private key: PEM bytes, or paths."""

    certificate: bytes | str
    key: bytes | str


def chain_pairs(pem: bytes) -> list[KeyPair]:
    """What smtpd_tls_chain_files hold, one after the other: each key is followed by its certificate and what signed it.

    Raises TlsUnusable when a certificate comes before any key, or a key has none.
    """
    pairs: list[KeyPair] = []
    for block in _BLOCK.finditer(pem):
        if block[1].endswith(b"PRIVATE KEY"):
            pairs.append(KeyPair(b"", block[0]))
        elif block[1].endswith(b"CERTIFICATE"):
            if not pairs:
                raise TlsUnusable("error loading chain: a certificate stands before its private key")
            last = pairs[-1]
            assert isinstance(last.certificate, bytes)
            pairs[-1] = KeyPair(last.certificate + block[0], last.key)
    if not pairs or not all(pair.certificate for pair in pairs):
        raise TlsUnusable("error loading chain: a private key has no certificate")
    return pairs


def option_bits(value: str) -> tuple[int, list[str]]:
    """tls_ssl_options as OpenSSL's bits, and the words that mean nothing."""
    if value.lower().startswith("0x"):
        try:
            return int(value, 16), []
        except ValueError:
            return 0, [value]
    words = value.replace(",", " ").split()
    unknown = [word for word in words if word.upper() not in OPTIONS]
    bits = 0
    for word in words:
        bits |= OPTIONS.get(word.upper(), 0)
    return bits, unknown


SniChoice = Callable[[str], ssl.SSLContext | None]
"""From the name a client asked for to the context to use instead, or None to stay."""


def protocol_range(words: str) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    """The lowest and highest version of a protocol list. Raises TlsUnusable on an unknown word or an empty choice."""
    lowest, highest = 0, len(_ORDER) - 1
    wanted: set[int] = set()
    barred: set[int] = set()
    for word in words.replace(",", " ").replace(":", " ").split():
        name = word.lstrip("<>=!").lower()
        prefix = word[: len(word) - len(name)]
        if name == "sslv2" and prefix == "!":
            continue  # no OpenSSL of today has it
        if name not in VERSIONS or prefix not in ("", "!", ">=", "<="):
            raise TlsUnusable(f'invalid TLS protocol list: "{words}"')
        place = _ORDER.index(VERSIONS[name])
        if prefix == ">=":
            lowest = place
        elif prefix == "<=":
            highest = place
        elif prefix == "!":
            barred.add(place)
        else:
            wanted.add(place)
    places = [p for p in range(lowest, highest + 1) if p not in barred and (not wanted or p in wanted)]
    if not places:
        raise TlsUnusable(f'invalid TLS protocol list: "{words}"')
    return _ORDER[places[0]], _ORDER[places[-1]]


def cipher_list(grade: str, exclude: Sequence[str] = (), lists: Mapping[str, str] = CIPHER_LISTS) -> str:
    """OpenSSL's cipher string for a grade, less the excluded words. Raises TlsUnusable on an unknown grade."""
    base = lists.get(grade.lower())
    if base is None:
        raise TlsUnusable(f'invalid TLS cipher grade: "{grade}"')
    return ":".join([base, *(f"!{word}" for word in exclude)])


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    os.write(descriptor, content)
    return descriptor


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    opened: list[int] = []
    paths = []
    for part in (pair.certificate, pair.key):
        if isinstance(part, bytes):
            opened.append(_memory_file(part))
            paths.append(f"/proc/self/fd/{opened[-1]}")
        else:
            paths.append(part)
    try:
        # an encrypted key would make OpenSSL ask on the terminal
        context.load_cert_chain(paths[0], paths[1], password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as error:
        where = pair.certificate if isinstance(pair.certificate, str) else "memory"
        why = reason(error) if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None) or str(error)
        raise TlsUnusable(f'cannot get certificate from file "{where}": {why}') from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _load_trust(context: ssl.SSLContext, ca_file: str, ca_path: str, append_default: bool) -> None:
    try:
        if ca_file or ca_path:
            context.load_verify_locations(ca_file or None, ca_path or None)
        if append_default:
            context.set_default_verify_paths()
    except (ssl.SSLError, OSError) as error:
        raise TlsUnusable(f'cannot load Certification Authority data, CAfile="{ca_file}": {error}') from error


def _narrow(context: ssl.SSLContext, protocols: str, ciphers: str) -> None:
    lowest, highest = protocol_range(protocols)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the operator asked for the old versions by name
        context.minimum_version = lowest
        # the newest the library has stays open-ended, so that a later TLS needs no new word here
        context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED if highest is _ORDER[-1] else highest
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError as error:
        raise TlsUnusable(f'no usable cipher in "{ciphers}"') from error


def server_context(
    pairs: Sequence[KeyPair],
    *,
    protocols: str = ">=TLSv1",
    ciphers: str = CIPHER_LISTS["medium"],
    preempt_cipherlist: bool = False,
    require_client_certificate: bool = False,
    ca_file: str = "",
    ca_path: str = "",
    append_default_ca: bool = False,
    session_tickets: bool = True,
    sni: SniChoice | None = None,
    options: int = 0,
) -> ssl.SSLContext:
    """A context for listeners. `ciphers` is an OpenSSL string: see cipher_list(); `options` come from option_bits()."""
    if not pairs:
        raise TlsUnusable("no certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = NamedSSLObject
    _narrow(context, protocols, ciphers)
    for pair in pairs:
        _load(context, pair)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_IGNORE_UNEXPECTED_EOF | options
    if preempt_cipherlist:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if not session_tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_trust(context, ca_file, ca_path, append_default_ca)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        if name and isinstance(connection, NamedSSLObject):
            connection.requested_name = name
            other = sni(name) if sni is not None else None
            if other is not None:
                connection.context = other

    context.sni_callback = choose
    return context


def client_context(
    *,
    verify: bool = False,
    check_hostname: bool = False,
    ca_file: str = "",
    ca_path: str = "",
    append_default_ca: bool = False,
    pairs: Sequence[KeyPair] = (),
    protocols: str = ">=TLSv1",
    ciphers: str = CIPHER_LISTS["medium"],
    options: int = 0,
) -> ssl.SSLContext:
    """A context for outgoing connections. verify=False is opportunistic TLS: any certificate will do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    context.check_hostname = verify and check_hostname
    _narrow(context, protocols, ciphers)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_IGNORE_UNEXPECTED_EOF | options
    _load_trust(context, ca_file, ca_path, append_default_ca)
    for pair in pairs:
        _load(context, pair)
    return context
