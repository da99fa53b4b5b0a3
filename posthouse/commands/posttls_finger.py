"""posttls-finger: what TLS a mail server offers. Manual: posttls-finger(1) of Postfix 3.7.

    posttls-finger [-cCSvw] [-a family] [-A tafile] [-d mdalg] [-F CAfile] [-g grade] [-h host_lookup] [-H chainfiles]
                   [-k certfile [-K keyfile]] [-l level] [-L logopts] [-o name=value] [-p protocols] [-P CApath]
                   [-s servername] [-t timeout] [-T timeout] destination [match…]

Output is on standard output; the exit status is 0 also when the server cannot be reached. When the certificate
is not trusted, a second connection takes it without trust, to show it all the same. Of the cipher's line, key
exchange and signature are left out: Python's ssl module does not tell them.

Missing: DANE (-f, -M, levels dane and dane-only; secure is used in their place), reconnection (-r, -m), tlsproxy
(-X), and OpenSSL's own debugging (-L debug and above).
"""

import getopt
import socket
import ssl
import sys
from dataclasses import dataclass

from posthouse.commands.posttls_finger_certificate import chain_text, fingerprints, names_of, one_line
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory, read_configuration
from posthouse.net.tls import KeyPair, TlsUnusable, cipher_list, client_context

USAGE = """\
usage: posttls-finger [-acCfSvw] [-t conn_tmout] [-T cmd_tmout] [-L logopts] \\
	[-h host_lookup] [-l level] [-d mdalg] [-g grade] [-p protocols] \\
	[-A tafile] [-F CAfile.pem] [-P CApath/] [-s servername] \\
	[ [-H chainfiles] | [-k certfile [-K keyfile]] ] \\
	[-m count] [-r delay] [-o name=value] destination [match ...]
"""

LEVELS = ("none", "may", "encrypt", "fingerprint", "dane", "dane-only", "verify", "secure")

MISSING = {"-f": "DANE", "-M": "DANE", "-r": "reconnecting", "-m": "reconnecting", "-X": "tlsproxy"}

LOGS = {
    **dict.fromkeys(("0", "none"), frozenset[str]()),
    **dict.fromkeys(("1", "routine", "summary"), frozenset({"summary"})),
    "peercert": frozenset({"peercert"}),
    "certmatch": frozenset({"certmatch", "peercert"}),
    "untrusted": frozenset({"untrusted"}),
    "verbose": frozenset({"peercert", "certmatch", "untrusted"}),
    "cache": frozenset[str](),
}
"""-L: what each word shows. The session cache of one connection has nothing to show."""

REPLY_LIMIT = 1 << 16
"""Bytes of one reply."""


class Fatal(Exception):
    """The command cannot go on."""


class Ended(Exception):
    """The conversation is over; the text, if any, says why."""


def say(text: str) -> None:
    """A line of output."""
    sys.stdout.buffer.write(f"posttls-finger: {text}\n".encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked of whom."""

    destination: str
    match: tuple[str, ...]
    level: str
    logs: frozenset[str]
    chat: bool
    chain: bool
    wrapped: bool
    lmtp: bool
    hello: str
    family: str
    lookup: tuple[str, ...]
    digest: str
    server_name: str
    connect_timeout: float
    command_timeout: float
    verbose: bool


class Dialogue:
    """One connection."""

    def __init__(self, probe: Probe, place: str, sock: socket.socket, *, quiet: bool) -> None:
        self._probe = probe
        self.place = place
        self.socket = sock
        self._received = b""
        self._chat = probe.chat and not quiet

    def reply(self, timeout: float) -> tuple[int, list[str]]:
        """The next reply: code and lines."""
        self.socket.settimeout(timeout)
        lines: list[str] = []
        while True:
            while b"\n" not in self._received:
                try:
                    data = self.socket.recv(4096)
                except OSError as error:
                    raise Ended(f"{self.place}: {error}") from error
                if not data or len(self._received) > REPLY_LIMIT:
                    raise Ended(f"lost connection with {self.place}")
                self._received += data
            raw, _, self._received = self._received.partition(b"\n")
            line = raw.rstrip(b"\r").decode("utf-8", "surrogateescape")
            if self._chat:
                say(f"< {line}")
            lines.append(line)
            if not line[:3].isdigit():
                raise Ended(f"malformed reply from {self.place}: {line}")
            if line[3:4] != "-":
                return int(line[:3]), lines

    def command(self, text: str) -> tuple[int, list[str]]:
        """Say something, and hear the reply."""
        if self._chat:
            say(f"> {text}")
        try:
            self.socket.sendall(f"{text}\r\n".encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise Ended(f"{self.place}: {error}") from error
        return self.reply(self._probe.command_timeout)

    def hello(self) -> list[str]:
        """EHLO; the capabilities."""
        verb = "LHLO" if self._probe.lmtp else "EHLO"
        code, lines = self.command(f"{verb} {self._probe.hello}")
        if code // 100 != 2:
            raise Ended(f"{verb} rejected: {' '.join(lines)}")
        return [line[4:].split(" ")[0].upper() for line in lines[1:]]


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    try:
        return _run(arguments)
    except Fatal as error:
        say(f"fatal: {error}")
    except ConfigError as error:
        say(f"fatal: {error.text}")
    return 1


def _usage(problem: str = "") -> int:
    sys.stderr.write(f"{problem}{USAGE}")
    return 1


def _run(arguments: list[str]) -> int:
    try:
        options, words = getopt.getopt(arguments, "a:A:cCd:fF:g:h:H:k:K:l:L:m:M:o:p:P:r:s:St:T:vwX")
    except getopt.GetoptError as error:
        kind = "option requires an argument" if "requires argument" in error.msg else "invalid option"
        return _usage(f"posttls-finger: {kind} -- '{error.opt}'\n")
    if not words:
        return _usage()
    chosen = dict(options)
    for option, what in MISSING.items():
        if option in chosen:
            raise Fatal(f"{option}: {what} is missing so far in Posthouse")
    configuration = read_configuration(configuration_directory())
    overrides = dict(value.partition("=")[::2] for option, value in options if option == "-o")
    configuration = configuration.with_overrides(overrides, "command line")
    require_everywhere(configuration)
    probe = _probe(chosen, words, configuration)
    try:
        contexts = _contexts(probe, chosen, options)
    except (TlsUnusable, OSError) as error:
        raise Fatal(str(error)) from error
    for host, address, port in _hosts(probe, configuration):
        where = f"{host}[{address}]" + (f":{port}" if port else "")
        if probe.verbose:
            say(f"connecting to {where}")
        try:
            _talk(probe, where, (address, port), contexts)
        except OSError as error:
            via = f" via {host}" if port else ""
            reason = f"connect to {where}: {error.strerror or error}"
            say(f"Failed to establish session to {probe.destination}{via}: {reason}")
            continue
        return 0
    return 0


def _probe(chosen: dict[str, str], words: list[str], configuration: Configuration) -> Probe:
    level = chosen.get("-l", "secure")
    if level not in LEVELS:
        raise Fatal(f'Invalid TLS level "{level}"')
    if level.startswith("dane"):
        say(f"warning: level {level} is missing so far in Posthouse: using secure")
        level = "secure"
    if level == "fingerprint" and len(words) < 2:
        raise Fatal("No certificate fingerprints specified")
    value = chosen.get("-L", "routine,certmatch")
    logs: set[str] = set()
    for word in value.replace(",", " ").split():
        shown = LOGS.get(word.lower())
        if shown is None:
            say(f'warning: unknown -L option value "{word}" in "{value}"')
        logs |= shown or set()
    return Probe(
        destination=words[0],
        match=tuple(words[1:]),
        level=level,
        logs=frozenset(logs),
        chat="-c" not in chosen,
        chain="-C" in chosen,
        wrapped="-w" in chosen,
        lmtp="-S" in chosen,
        hello=configuration.value("myhostname"),
        family=chosen.get("-a", "any"),
        lookup=tuple(chosen.get("-h", "dns").replace(",", " ").split()),
        digest=chosen.get("-d") or configuration.value("smtp_tls_fingerprint_digest"),
        server_name=chosen.get("-s", ""),
        connect_timeout=_seconds(chosen, "-t"),
        command_timeout=_seconds(chosen, "-T"),
        verbose="-v" in chosen,
    )


def _seconds(chosen: dict[str, str], option: str) -> float:
    value = chosen.get(option, "30")
    if not value.isdigit() or int(value) < 1:
        raise Fatal(f"bad timeout: {value}")
    return float(value)


def _contexts(
    probe: Probe, chosen: dict[str, str], options: list[tuple[str, str]]
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A context that trusts what it is told to trust, and one that takes any certificate."""
    pairs = []
    for option, value in options:
        if option == "-H":
            pairs += [KeyPair(_read(name), _read(name)) for name in value.replace(",", " ").split()]
    certificate, key = chosen.get("-k") or chosen.get("-K"), chosen.get("-K") or chosen.get("-k")
    if certificate and key:
        pairs.append(KeyPair(_read(certificate), _read(key)))

    def context(verify: bool) -> ssl.SSLContext:
        made = client_context(
            verify=verify,
            ca_file=chosen.get("-F", ""),
            ca_path=chosen.get("-P", ""),
            pairs=pairs,
            protocols=chosen.get("-p", ">=TLSv1"),
            ciphers=cipher_list(chosen.get("-g", "medium")),
        )
        for option, value in options:
            if option == "-A":
                made.load_verify_locations(value)
                made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return made

    return context(True), context(False)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _hosts(probe: Probe, configuration: Configuration) -> list[tuple[str, str, int]]:
    """Name, address and port of each server to try."""
    destination = probe.destination
    if destination.startswith("unix:"):
        return [(probe.hello, destination[5:], 0)]
    text = destination.removeprefix("inet:")
    bracketed = text.startswith("[")
    if bracketed:
        host, _, rest = text[1:].partition("]")
        service = rest.removeprefix(":")
    else:
        host, _, service = text.partition(":")
    try:
        default = "24" if probe.lmtp else ("465" if probe.wrapped else "25")
        port = int(service or default) if (service or default).isdigit() else socket.getservbyname(service, "tcp")
    except OSError as error:
        raise Fatal(f"unknown service: {service}/tcp") from error

    import asyncio

    from posthouse.dns.mx import MxLookup, MxSettings
    from posthouse.dns.stub import open_resolver

    families = (probe.family,) if probe.family in ("ipv4", "ipv6") else ("all",)
    lookup = MxLookup(
        MxSettings(inet_protocols=families, smtp_host_lookup=probe.lookup),
        open_resolver(configuration.words("dns_servers")),
    )

    async def find() -> list[tuple[str, str, int]]:
        # With LMTP, a domain is a host: there are no MX look-ups.
        route = await (lookup.host(host) if bracketed or probe.lmtp else lookup.domain(host, detect_loop=False))
        if route.failure is not None:
            say(f"Destination address lookup failed: {route.failure.text}")
            return []
        return [(one.name, one.address, port) for one in route.hosts]

    return asyncio.run(find())


def _connect(probe: Probe, where: tuple[str, int]) -> socket.socket:
    if not where[1]:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(probe.connect_timeout)
        sock.connect(where[0])
        return sock
    return socket.create_connection(where, probe.connect_timeout)


def _talk(probe: Probe, place: str, where: tuple[str, int], contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The whole conversation. Raises OSError when there is no connection."""
    verifies = probe.level in ("verify", "secure")
    problem = ""
    for context, quiet in ((contexts[0], False), (contexts[1], True)) if verifies else ((contexts[1], False),):
        sock = _connect(probe, where)
        dialogue = Dialogue(probe, place, sock, quiet=quiet)
        try:
            if probe.chat and not quiet and not probe.wrapped:
                say(f"Connected to {place}")
            secured = _secure(probe, dialogue, context)
            if secured:
                _report(probe, dialogue, trusted=verifies and not quiet, problem=problem)
                dialogue = _silent_no_more(probe, dialogue)
                if probe.wrapped:
                    _greeting(probe, dialogue)
                dialogue.hello()
            dialogue.command("QUIT")
        except ssl.SSLCertVerificationError as error:
            problem = error.verify_message
            continue
        except ssl.SSLError as error:
            say(f"SSL_connect error to {place}: {error.reason or error}")
        except Ended as ended:
            if str(ended):
                say(str(ended))
        finally:
            dialogue.socket.close()
            sock.close()
        return


def _silent_no_more(probe: Probe, dialogue: Dialogue) -> Dialogue:
    """After the handshake the second connection is shown, too: the first one ended there."""
    return Dialogue(probe, dialogue.place, dialogue.socket, quiet=False)


def _greeting(probe: Probe, dialogue: Dialogue) -> None:
    code, lines = dialogue.reply(probe.connect_timeout)
    if code // 100 != 2:
        raise Ended(f"SMTP service not available: {' '.join(lines)}")


def _secure(probe: Probe, dialogue: Dialogue, context: ssl.SSLContext) -> bool:
    """Up to and with the handshake; False when the server or the level has no TLS."""
    if not probe.wrapped:
        _greeting(probe, dialogue)
        capabilities = dialogue.hello()
        if probe.level == "none" or "STARTTLS" not in capabilities:
            return False
        code, lines = dialogue.command("STARTTLS")
        if code // 100 != 2:
            raise Ended(f"STARTTLS rejected: {' '.join(lines)}")
    dialogue.socket.settimeout(probe.command_timeout)
    dialogue.socket = context.wrap_socket(dialogue.socket, server_hostname=probe.server_name or None)
    return True


def _report(probe: Probe, dialogue: Dialogue, *, trusted: bool, problem: str) -> None:
    """What is known of the connection now."""
    sock, place = dialogue.socket, dialogue.place
    assert isinstance(sock, ssl.SSLSocket)
    der = sock.getpeercert(binary_form=True)
    status = "Anonymous" if der is None else "Trusted" if trusted else "Untrusted"
    if der is not None:
        subject, issuer, names = names_of(der)
        judged = trusted or bool(problem)
        matched = _matched(probe, der, names) if judged or probe.level == "fingerprint" else ""
        if matched and not problem:
            status = "Verified"
            if "certmatch" in probe.logs and probe.level != "fingerprint":
                say(f"{place}: matched peername: {matched}")
        elif not matched and (judged or probe.level == "fingerprint"):
            status = "Untrusted"
            reason = "num=62:hostname mismatch" if judged else "num=1:unspecified certificate verification error"
            say(f"server certificate verification failed for {place}: {reason}")
        elif problem:
            reason = f"untrusted issuer {one_line(der, issuer=True)}"
            reason = reason if "issuer" in problem or "self" in problem else problem
            say(f"certificate verification failed for {place}: {reason}")
        if "peercert" in probe.logs:
            digest, key_digest = fingerprints(der, probe.digest)
            say(
                f"{place}: subject_CN={subject}, issuer_CN={issuer},"
                f" fingerprint={digest}, pkey_fingerprint={key_digest}"
            )
    cipher = sock.cipher()
    if "summary" in probe.logs and cipher is not None:
        name, _, bits = cipher
        say(f"{status} TLS connection established to {place}: {sock.version()} with cipher {name} ({bits}/{bits} bits)")
    if probe.chain:
        sys.stdout.write(chain_text(sock, probe.digest))
        sys.stdout.flush()


def _matched(probe: Probe, der: bytes, names: list[str]) -> str:
    """The name, or fingerprint, that makes it the right certificate."""
    from posthouse.transport.smtp.tls_policy import name_matches

    if probe.level == "fingerprint":
        found = {text.replace(":", "").lower() for text in fingerprints(der, probe.digest)}
        return next((one for one in probe.match if one.replace(":", "").lower() in found), "")
    host = probe.destination.removeprefix("inet:").strip("[").partition("]")[0].partition(":")[0]
    wanted = probe.match or ((host,) if probe.level == "verify" else (host, f".{host}"))
    return next((name for one in wanted for name in names if name_matches(one.lower(), name)), "")
