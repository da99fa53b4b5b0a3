"""check_policy_service: asks a policy server (SMTPD_POLICY_README) and does what it says.

A request is lines of name=value and an empty line; the answer is action=<access(5) action>
and an empty line. Connections are kept and used one request at a time; one that failed is replaced
at once, a server that does not answer is asked smtpd_policy_service_try_limit times, and then
smtpd_policy_service_default_action holds.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from typing import cast

from posthouse.address.domain import is_ipv4, is_ipv6
from posthouse.config.convert import seconds
from posthouse.config.error import ConfigError
from posthouse.config.words import split_words
from posthouse.dns.native import NativeLookup
from posthouse.dns.resolver import DnsRetry
from posthouse.envelope.verdict import Verdict
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout
from posthouse.net.tcp import connect, connect_unix
from posthouse.policy.access_action import AccessActions
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.restrictions.certificate import names_of
from posthouse.policy.settings import DelegationSettings

ANSWER_LIMIT = 16_384
"""Bytes of one answer: an action with a long text is a few hundred."""
IDLE_LIMIT = 50
"""Connections kept per server, as many as Postfix has smtpd processes at its default limit times its client cache."""

Open = Callable[["PolicyServer"], Awaitable[Stream]]


class AnswerError(Exception):
    """The server said something that is no answer."""


@dataclass(frozen=True, slots=True)
class PolicyServer:
    """One server with its settings."""

    endpoint: str
    """inet:host:port or unix:path, as configured."""
    default_action: str
    max_idle: int
    max_ttl: int
    policy_context: str
    request_limit: int
    retry_delay: int
    timeout: int
    try_limit: int
    digest: str = "sha256"
    """smtpd_tls_fingerprint_digest, for the fingerprints of client certificates."""


def parse_server(text: str, settings: DelegationSettings) -> PolicyServer:
    """`endpoint` or `{ endpoint, name = value, … }`. Raises ConfigError in Postfix's words."""
    server = PolicyServer(
        "",
        settings.smtpd_policy_service_default_action,
        settings.smtpd_policy_service_max_idle,
        settings.smtpd_policy_service_max_ttl,
        settings.smtpd_policy_service_policy_context,
        settings.smtpd_policy_service_request_limit,
        settings.smtpd_policy_service_retry_delay,
        settings.smtpd_policy_service_timeout,
        settings.smtpd_policy_service_try_limit,
        settings.smtpd_tls_fingerprint_digest,
    )
    if not text.startswith("{"):
        return replace(server, endpoint=_endpoint(text))
    words = list(split_words(text.strip()[1:-1]))
    if not words:
        raise ConfigError(f'empty policy service: "{text}"')
    server = replace(server, endpoint=_endpoint(words[0]))
    known = {field.name for field in fields(PolicyServer)} - {"endpoint", "digest"}
    # "name = value" comes as three words, "{ name = value with blanks }" as one.
    joined = " ".join(word for word in words[1:] if not word.startswith("{")).replace(" = ", "=")
    joined = joined.replace("= ", "=").replace(" =", "=")
    for option in [*joined.split(), *(word[1:-1].strip() for word in words[1:] if word.startswith("{"))]:
        name, equals, value = (part.strip() for part in option.partition("="))
        if not equals:
            raise ConfigError(f"malformed option: missing '=' after attribute name: \"...{option}...\"")
        if name not in known:
            raise ConfigError(f'unknown option: "{name} = {value}"')
        if name in ("default_action", "policy_context"):
            server = replace(server, **{name: value})  # type: ignore[arg-type] # str fields
        elif name in ("request_limit", "try_limit"):
            if not (value.isascii() and value.isdigit()):
                raise ConfigError(f"policy service syntax error: bad number: {option}")
            server = replace(server, **{name: int(value)})  # type: ignore[arg-type] # int fields
        else:
            server = replace(server, **{name: seconds(f"smtpd_policy_service_{name}", value, "s", None)})  # type: ignore[arg-type] # int fields
    return server


def _endpoint(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if not colon or kind not in ("inet", "unix") or not rest or (kind == "inet" and not _inet(rest)[1].isdigit()):
        raise ConfigError(f'need service transport:endpoint instead of "{text}"')
    return text


def _inet(rest: str) -> tuple[str, str]:
    host, _, port = rest.rpartition(":")
    return host.strip("[]") or "127.0.0.1", port


def request(facts: Facts, context: str, digest: str = "sha256") -> bytes:
    """The request, in the order in which Postfix 3.7 sends its attributes."""
    tls = facts.tls
    certificate = names_of(tls, digest)
    facts.instance = facts.instance or secrets.token_hex(6)
    count = facts.accepted if facts.stage in ("DATA", "END-OF-MESSAGE") else 0
    lines = (
        ("request", "smtpd_access_policy"),
        ("protocol_state", facts.stage),
        ("protocol_name", "ESMTP" if facts.esmtp else "SMTP"),
        ("client_address", facts.client.address),
        ("client_name", facts.client.name),
        ("client_port", facts.client.port),
        ("reverse_client_name", facts.client.reverse_name),
        ("server_address", facts.server_address),
        ("server_port", str(facts.server_port)),
        ("helo_name", facts.helo),
        ("sender", facts.sender or ""),
        ("recipient", facts.recipient or ""),
        ("recipient_count", str(count)),
        ("queue_id", facts.queue_id),
        ("instance", facts.instance),
        ("size", str(facts.size)),
        ("etrn_domain", facts.etrn_domain),
        ("stress", ""),
        ("sasl_method", facts.sasl_method),
        ("sasl_username", facts.login),
        ("sasl_sender", facts.sasl_sender),
        ("ccert_subject", certificate.subject),
        ("ccert_issuer", certificate.issuer),
        ("ccert_fingerprint", certificate.fingerprint),
        ("ccert_pubkey_fingerprint", certificate.key_fingerprint),
        ("encryption_protocol", "" if tls is None else tls.protocol),
        ("encryption_cipher", "" if tls is None else tls.cipher),
        ("encryption_keysize", "0" if tls is None else str(tls.bits)),
        ("policy_context", context),
    )
    text = "".join(f"{name}={_one_line(value)}\n" for name, value in lines)
    return (text + "\n").encode("utf-8", "surrogateescape")


def _one_line(value: str) -> str:
    return value if "\n" not in value and "\0" not in value else value.replace("\n", "?").replace("\0", "?")


def parse_answer(data: bytes) -> str:
    """The action of a whole answer. Raises AnswerError."""
    for line in data.split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals and name.strip() == b"action":
            return value.decode("utf-8", "surrogateescape").strip()
    raise AnswerError("no action in the answer")


@dataclass(slots=True)
class _Kept:
    """A connection between two requests."""

    stream: Stream
    opened: float
    used: float
    requests: int = 0


class PolicyService:
    """One server as restriction."""

    def __init__(
        self,
        server: PolicyServer,
        actions: AccessActions,
        warn: Callable[[str], None],
        open_stream: Open,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.server = server
        self._actions = actions
        self._warn = warn
        self._open = open_stream
        self._clock = clock
        self._sleep = sleep
        self._idle: list[_Kept] = []
        self._address = server.endpoint.partition(":")[2]

    async def check_policy_service(self, facts: Facts, subject: Subject) -> Verdict:
        """Do what the server says."""
        endpoint = self.server.endpoint
        action = await self._ask(request(facts, self.server.policy_context, self.server.digest))
        if action is None:
            action = self.server.default_action
            fact = f"{endpoint} did not answer: {action}"
        else:
            fact = f"{endpoint} -> {action}"
        return await self._actions.act(action, endpoint, subject.name, facts, subject, fact=fact)

    async def _ask(self, data: bytes) -> str | None:
        reason = ""
        tries = 0
        while tries < max(self.server.try_limit, 1):
            kept = self._take()
            fresh = kept is None
            try:
                if kept is None:
                    kept = await self._connect()
                answer = await self._exchange(kept.stream, data)
            except (OSError, StreamClosed, StreamTimeout, AnswerError, DnsRetry) as error:
                reason = _reason(error)
                if isinstance(error, OSError) and kept is None:
                    self._warn(f"connect to {self._address}: {reason}")
                if kept is not None:
                    kept.stream.abort()
                if fresh:
                    # A kept connection that the server closed meanwhile is no failed try.
                    tries += 1
                    self._warn(f"problem talking to server {self._address}: {reason}")
                    if tries < self.server.try_limit:
                        await self._sleep(self.server.retry_delay)
                continue
            self._keep(kept)
            return answer
        return None

    async def _connect(self) -> _Kept:
        now = self._clock()
        return _Kept(await self._open(self.server), now, now)

    async def _exchange(self, stream: Stream, data: bytes) -> str:
        timeout = float(self.server.timeout)
        stream.write(data)
        received = b""
        async with asyncio.timeout(timeout):
            while b"\n\n" not in received:
                piece = await stream.read(timeout)
                if not piece:
                    raise AnswerError("lost connection")
                received += piece
                if len(received) > ANSWER_LIMIT:
                    raise AnswerError("answer too long")
        return parse_answer(received)

    def _take(self) -> _Kept | None:
        now = self._clock()
        while self._idle:
            kept = self._idle.pop()
            if now - kept.used < self.server.max_idle and now - kept.opened < self.server.max_ttl:
                return kept
            kept.stream.close()
        return None

    def _keep(self, kept: _Kept) -> None:
        kept.requests += 1
        kept.used = self._clock()
        full = len(self._idle) >= IDLE_LIMIT
        if full or (self.server.request_limit and kept.requests >= self.server.request_limit):
            kept.stream.close()
        else:
            self._idle.append(kept)

    def close(self) -> None:
        """Close kept connections."""
        while self._idle:
            self._idle.pop().stream.close()


def _reason(error: Exception) -> str:
    """The error in the system's words."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    if isinstance(error, StreamTimeout | TimeoutError):
        return "Connection timed out"
    return str(error) or type(error).__name__


def opener(settings: DelegationSettings, native: NativeLookup | None = None) -> Open:
    """Connects to unix: paths (relative to queue_directory) and inet: hosts."""
    lookup = native

    async def open_stream(server: PolicyServer) -> Stream:
        nonlocal lookup
        kind, _, rest = server.endpoint.partition(":")
        timeout = float(server.timeout)
        if kind == "unix":
            path = rest if rest.startswith("/") else f"{settings.queue_directory}/{rest}"
            return cast(Stream, await connect_unix(path, timeout=timeout))
        host, port = _inet(rest)
        addresses: tuple[str, ...] = (host,)
        if not is_ipv4(host) and not is_ipv6(host):
            lookup = lookup or NativeLookup()
            addresses = await lookup.addresses(host)
        failure: OSError | StreamTimeout = OSError(f"host not found: {host}")
        for address in addresses:
            try:
                return cast(Stream, await connect(address, int(port), timeout=timeout))
            except (OSError, StreamTimeout) as error:
                failure = error
        raise failure

    return open_stream
