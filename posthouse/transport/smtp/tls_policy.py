"""How much TLS a destination gets: smtp_tls_security_level and smtp_tls_policy_maps.

Levels none, may, encrypt, dane, dane-only, fingerprint, verify and secure. Contexts are built once per distinct
set of words and kept.

Certificates are checked by OpenSSL up to the trust anchor; the name is checked here, because the
names that may match ("hostname", "nexthop", "dot-nexthop") are Postfix's own. What dane means for
a host is dane.py's matter.

Standards: RFC 3207; RFC 6125 section 6.4 (names in certificates); RFC 7435 (opportunistic security).
"""

import hashlib
import hmac
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from posthouse.config.error import ConfigError
from posthouse.net.stream import TlsInfo
from posthouse.net.tls import KeyPair, chain_pairs, cipher_list, client_context, option_bits
from posthouse.tables.table import Row
from posthouse.transport.smtp.nexthop import Nexthop
from posthouse.transport.smtp.settings import SmtpSettings

if TYPE_CHECKING:
    from posthouse.transport.smtp.dane import Tlsa

LEVELS = ("none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure")
MANDATORY = frozenset(LEVELS[2:])
SITE_LEVELS = {"NONE": "none", "MAY": "may", "MUST_NOPEERMATCH": "encrypt", "MUST": "verify"}
"""Words of smtp_tls_per_site."""
SITE_ORDER = ("", "may", "none", "encrypt", "verify")
"""Which of two levels counts: the later."""


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """What one destination gets."""

    level: str = "none"
    match: tuple[str, ...] = ()
    protocols: str = ""
    ciphers: str = ""
    exclude: tuple[str, ...] = ()
    servername: str = ""
    tlsa: "tuple[Tlsa, ...]" = ()
    """What the certificate must match at level dane (dane.py)."""

    @property
    def mandatory(self) -> bool:
        """Whether mail waits rather than going in plain text."""
        return self.level in MANDATORY


class PolicyError(Exception):
    """A row of smtp_tls_policy_maps cannot be read; mail for it waits."""


def default_level(settings: SmtpSettings) -> str:
    """smtp_tls_security_level, or what the older smtp_use_tls and smtp_enforce_tls say. Raises ConfigError."""
    level = settings.smtp_tls_security_level
    if not level:
        if settings.smtp_enforce_tls:
            level = "verify" if settings.smtp_tls_enforce_peername else "encrypt"
        else:
            level = "may" if settings.smtp_use_tls else "none"
    if level not in LEVELS:
        raise ConfigError(f'invalid TLS security level: "{level}"')
    return level


def parse_policy(value: str, settings: SmtpSettings) -> TlsPolicy:
    """A row of smtp_tls_policy_maps: level and attributes. Raises PolicyError."""
    words = value.replace(",", " ").split()
    if not words or words[0] not in LEVELS:
        raise PolicyError(f'invalid security level "{words[0] if words else ""}"')
    fields = _defaults(words[0], settings)
    match: list[str] = []
    for word in words[1:]:
        name, _, argument = word.partition("=")
        if name == "match":
            match += argument.replace("|", ":").split(":") if words[0] != "fingerprint" else argument.split("|")
        elif name == "protocols":
            fields["protocols"] = argument.replace(":", " ")
        elif name == "ciphers":
            fields["ciphers"] = argument
        elif name == "exclude":
            fields["exclude"] = argument.replace(":", " ")
        elif name == "servername":
            fields["servername"] = argument
        elif name == "connection_reuse":
            continue  # every connection may be reused here, in TLS too
        else:
            raise PolicyError(f'invalid attribute "{word}"')
    return TlsPolicy(
        words[0],
        tuple(match) or _default_match(words[0], settings),
        fields["protocols"],
        fields["ciphers"],
        tuple(fields["exclude"].split()),
        fields["servername"],
    )


def base_policy(level: str, settings: SmtpSettings) -> TlsPolicy:
    """What a destination without a row gets."""
    fields = _defaults(level, settings)
    return TlsPolicy(
        level,
        _default_match(level, settings),
        fields["protocols"],
        fields["ciphers"],
        tuple(fields["exclude"].split()),
        fields["servername"],
    )


def _defaults(level: str, settings: SmtpSettings) -> dict[str, str]:
    mandatory = level in MANDATORY
    exclude = [*settings.smtp_tls_exclude_ciphers]
    if mandatory:
        exclude += settings.smtp_tls_mandatory_exclude_ciphers
    return {
        "protocols": settings.smtp_tls_mandatory_protocols if mandatory else settings.smtp_tls_protocols,
        "ciphers": settings.smtp_tls_mandatory_ciphers if mandatory else settings.smtp_tls_ciphers,
        "exclude": " ".join(exclude),
        "servername": settings.smtp_tls_servername,
    }


def _default_match(level: str, settings: SmtpSettings) -> tuple[str, ...]:
    if level == "secure":
        return settings.smtp_tls_secure_cert_match
    if level == "verify":
        return settings.smtp_tls_verify_cert_match
    return settings.smtp_tls_fingerprint_cert_match if level == "fingerprint" else ()


def policy_keys(nexthop: Nexthop) -> list[str]:
    """Keys for smtp_tls_policy_maps, in order: the nexthop as written, then (for a domain) its parents with a dot."""
    keys = [nexthop.text]
    bare = nexthop.text if nexthop.path else (nexthop.host if nexthop.use_mx else f"[{nexthop.host}]")
    if bare not in keys:
        keys.append(bare)
    if nexthop.use_mx:
        domain = nexthop.host
        while "." in domain:
            domain = domain.partition(".")[2]
            keys.append(f".{domain}")
    return keys


class Contexts:
    """TLS contexts by policy, each built once."""

    def __init__(self, settings: SmtpSettings, read: Callable[[str], bytes]) -> None:
        """`read` gives the bytes of a key or certificate file. Raises ConfigError for unusable files."""
        self._settings = settings
        self._pairs: list[KeyPair] = []
        if settings.smtp_tls_chain_files:
            self._pairs = chain_pairs(b"".join([read(path) for path in settings.smtp_tls_chain_files]))
        else:
            for certificate, key in (
                (settings.smtp_tls_cert_file, settings.smtp_tls_key_file),
                (settings.smtp_tls_eccert_file, settings.smtp_tls_eckey_file),
            ):
                if certificate:
                    self._pairs.append(KeyPair(read(certificate), read(key or certificate)))
        self._options = option_bits(settings.tls_ssl_options)[0]
        self._known: dict[tuple[bool, str, str, tuple[str, ...]], ssl.SSLContext] = {}

    def context(self, policy: TlsPolicy) -> ssl.SSLContext:
        """The context for a policy. Raises TlsUnusable."""
        verify = policy.level in ("verify", "secure")
        key = (verify, policy.protocols, policy.ciphers, policy.exclude)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = client_context(
                verify=verify,
                ca_file=self._settings.smtp_tls_CAfile if verify else "",
                ca_path=self._settings.smtp_tls_CApath if verify else "",
                append_default_ca=self._settings.tls_append_default_CA,
                pairs=self._pairs,
                protocols=policy.protocols,
                ciphers=cipher_list(policy.ciphers, policy.exclude),
                options=self._options,
            )
        return known


def wanted_names(policy: TlsPolicy, nexthop: Nexthop, host: str) -> list[str]:
    """The names of which one must stand in the certificate; a leading dot means any host below."""
    names: list[str] = []
    for word in policy.match:
        if word == "hostname":
            names.append(host.lower())
        elif word == "nexthop":
            names.append(nexthop.host.lower())
        elif word == "dot-nexthop":
            names.append("." + nexthop.host.lower())
        else:
            names.append(word.lower())
    return names


def certificate_names(der: bytes) -> list[str]:
    """DNS names: subjectAltName, or the common name where there is none (RFC 6125 section 6.4.4)."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_der_x509_certificate(der)
        try:
            extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            names = extension.value.get_values_for_type(x509.DNSName)
        except x509.ExtensionNotFound:
            names = []
        if not names:
            names = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except ValueError:
        return []
    return [name.lower() for name in names]


def name_matches(wanted: str, name: str) -> bool:
    """Whether a certificate's name is good for a wanted one (RFC 6125 section 6.4.3: a wildcard is one whole label)."""
    if wanted.startswith("."):
        return name.endswith(wanted) and len(name) > len(wanted)
    if name.startswith("*."):
        return wanted.partition(".")[2] == name[2:] and "." in name[2:]
    return wanted == name


def certificate_fits(policy: TlsPolicy, info: TlsInfo, nexthop: Nexthop, host: str, digest: str) -> bool:
    """Whether the peer's certificate is one that the policy accepts."""
    der = info.peer_certificate
    if policy.level in ("none", "may", "encrypt"):
        return True
    if der is None:
        return False
    if policy.level == "fingerprint":
        return any(_has_fingerprint(der, wanted, digest) for wanted in policy.match)
    names = certificate_names(der)
    return any(name_matches(wanted, name) for wanted in wanted_names(policy, nexthop, host) for name in names)


def _has_fingerprint(der: bytes, wanted: str, digest: str) -> bool:
    found = hashlib.new(digest, der).hexdigest()
    return hmac.compare_digest(found, wanted.replace(":", "").lower())


class KeyLookup(Protocol):
    """The tables of one parameter (tables/maps.py)."""

    async def lookup(self, key: str) -> Row | None:
        """The first table's row for a key. Raises TableRetry."""


class Policies:
    """smtp_tls_security_level and smtp_tls_policy_maps together. Raises ConfigError for an unusable level."""

    def __init__(
        self, settings: SmtpSettings, maps: KeyLookup | None, sites: KeyLookup | None = None, prefix: str = "smtp"
    ) -> None:
        """`sites`: smtp_tls_per_site, the older form, asked where there are no policy maps."""
        self._settings = settings
        self._base = base_policy(default_level(settings), settings)
        self._maps = maps
        self._sites = sites
        self._prefix = prefix

    async def policy(self, nexthop: Nexthop, host: str) -> TlsPolicy:
        """What this host of this destination gets. Raises PolicyError and TableRetry."""
        if self._maps is None:
            return self._base if self._sites is None else await self._of_site(self._sites, nexthop, host)
        for key in policy_keys(nexthop):
            row = await self._maps.lookup(key)
            if row is not None:
                try:
                    return parse_policy(row.value, self._settings)
                except PolicyError as error:
                    where = f'{self._prefix}_tls_policy_maps, next-hop destination "{key}"'
                    raise PolicyError(f"{where}: {error}") from None
        return self._base

    async def _of_site(self, sites: KeyLookup, nexthop: Nexthop, host: str) -> TlsPolicy:
        """smtp_tls_per_site for the destination and for the host: the stricter row counts, and NONE before MAY."""
        level = ""
        names = {(nexthop.path or nexthop.host).lower(): "next-hop destination"}
        names.setdefault(host.lower(), "server hostname")
        for name, kind in names.items():
            row = await sites.lookup(name)
            if row is None:
                continue
            found = SITE_LEVELS.get(row.value.upper())
            if found is None:
                raise PolicyError(f"{self._prefix}_tls_per_site: unknown TLS policy '{row.value}' for {kind} {name}")
            level = max(level, found, key=SITE_ORDER.index)
        if not level or (level == "may" and self._base.mandatory):
            return self._base
        return base_policy(level, self._settings)
