"""What all sessions of one SMTP listener share."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from posthouse.dns.hosts import HostsFile
from posthouse.dns.resolver import Resolver
from posthouse.envelope.envelope import Client
from posthouse.host.log import ProcessLog, session_numbers
from posthouse.intake.transaction import Refused
from posthouse.journal.journal import Journal
from posthouse.policy.milter.milters import SmtpdMilters
from posthouse.session.smtp.client_limits import ClientLimits
from posthouse.session.smtp.proxy_filter import ProxyFilter
from posthouse.session.smtp.received import DateText
from posthouse.session.smtp.seams import (
    Authenticator,
    Door,
    HostMatch,
    Lookup,
    Mechanism,
    MechanismServer,
    NoHosts,
    Notices,
    Resolve,
    Stages,
    nothing,
)
from posthouse.session.smtp.security_options import allowed
from posthouse.session.smtp.settings import SmtpdSettings
from posthouse.wire.smtp.ehlo import offer

OWN_MECHANISMS: tuple[Mechanism, ...] = tuple(Mechanism(name, frozenset({"plaintext"})) for name in ("PLAIN", "LOGIN"))
"""What we run ourselves; and what a server is taken to run that never answered, so that its clients try later."""


async def bogus_commands(verb: str) -> str | None:
    """The default of smtpd_forbidden_commands: CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}, case ignored."""
    if verb.upper() in ("CONNECT", "GET", "POST") or not ("A" <= verb[:1].upper() <= "Z"):
        return "Bogus"
    return None


@dataclass(slots=True)
class SmtpService:
    """One listener's configuration and neighbours; sessions are made by listener.on_stream()."""

    settings: SmtpdSettings
    stages: Stages
    intake: Door
    log: ProcessLog
    journal: Journal
    lmtp: bool = False
    """LMTP instead of SMTP: LHLO, and one reply per recipient behind the content (RFC 2033)."""
    name: str = "smtp"
    """The service's name for rate warnings: "smtp", or "127.0.0.1:25"."""
    resolver: Resolver | None = None
    """None as with smtpd_peername_lookup = no."""
    hosts: HostsFile | None = None
    tls_context: ssl.SSLContext | None = None
    """None where no certificate is usable: STARTTLS is then not offered."""
    authenticator: Authenticator | None = None
    sasl_server: MechanismServer | None = None
    """Who runs the mechanisms in the authenticator's place, or None."""
    sasl_filter: HostMatch | None = None
    """smtpd_sasl_mechanism_filter: the mechanisms that may be offered; None: all."""
    limits: ClientLimits = field(default_factory=lambda: ClientLimits(time.monotonic))
    under_stress: SmtpdSettings | None = None
    """The settings with stress=yes, or None."""
    stressed: Callable[[], bool] = lambda: False
    limit_exceptions: HostMatch = field(default_factory=NoHosts)
    """smtpd_client_event_limit_exceptions."""
    sasl_exceptions: HostMatch = field(default_factory=NoHosts)
    """smtpd_sasl_exceptions_networks."""
    xclient: HostMatch = field(default_factory=NoHosts)
    """smtpd_authorized_xclient_hosts."""
    verp: HostMatch = field(default_factory=NoHosts)
    """smtpd_authorized_verp_clients."""
    xforward: HostMatch = field(default_factory=NoHosts)
    """smtpd_authorized_xforward_hosts."""
    discard_ehlo: Lookup = nothing
    """smtpd_discard_ehlo_keyword_address_maps, by client address."""
    footers: Lookup = nothing
    """smtpd_reject_footer_maps, by the whole reply."""
    command_filter: Lookup = nothing
    """smtpd_command_filter, by the whole command line."""
    forbidden: Lookup = bogus_commands
    """smtpd_forbidden_commands, by the verb."""
    local_rewrite: Callable[[str, Client], Awaitable[bool]] | None = None
    """local_header_rewrite_clients, by the address of who is really there and the client that it may speak for. None:
    permit_inet_interfaces alone."""
    milters: SmtpdMilters | None = None
    """smtpd_milters, or None when there are none."""
    proxy: ProxyFilter | None = None
    """smtpd_proxy_filter, or None when there is none."""
    resolve: Resolve | None = None
    """Routing, for the macros that tell milters where mail goes."""
    flush: Callable[[str], Awaitable[bool | None]] | None = None
    """ETRN: True when deliveries to a domain were started, None when the domain is not in fast_flush_domains."""
    room: Callable[[int], Awaitable[Refused | None]] | None = None
    """Why a message of that size would find no room in the queue now, or None."""
    clock: Callable[[], float] = time.time
    notices: Notices | None = None
    """Who tells postmaster of sessions with errors, or None."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    numbers: Iterator[int] = field(default_factory=session_numbers)
    """Session numbers for the log: unique to a session, so that its lines can be paired."""
    dates: DateText = field(default_factory=DateText)
    _learned: tuple[Mechanism, ...] | None = None
    _offered: tuple[Mechanism, ...] = OWN_MECHANISMS
    """What smtpd_sasl_mechanism_filter leaves to be announced."""
    _offers: dict[tuple[bool, bool, bool, bool, frozenset[str]], bytes] = field(default_factory=dict)

    @property
    def starttls(self) -> bool:
        """Whether STARTTLS can be offered."""
        return self.settings.tls_offered

    async def learn_mechanisms(self) -> None:
        """Ask what there is to offer; once, where we run the mechanisms. Raises TableRetry."""
        if not self.settings.smtpd_sasl_auth_enable:
            return
        known = OWN_MECHANISMS
        if self.sasl_server is not None:
            known = await self.sasl_server.mechanisms() or OWN_MECHANISMS
        if known is self._learned:
            return
        passed = known
        if self.sasl_filter is not None:
            passed = tuple([m for m in known if await self.sasl_filter.matches(m.name) is not None])
        self._learned, self._offered = known, passed
        self._offers.clear()

    def usable_mechanisms(self, *, tls: bool, announced: bool = True) -> tuple[str, ...]:
        """The SASL mechanisms that the security options leave. What the filter keeps silent about is
        taken all the same."""
        settings = self.settings
        options = settings.smtpd_sasl_tls_security_options if tls else settings.smtpd_sasl_security_options
        known = self._offered if announced or self._learned is None else self._learned
        return tuple([mechanism.name for mechanism in known if allowed(mechanism.properties, options)])

    def auth_offered(self, *, tls: bool) -> bool:
        """Whether AUTH is taken at this moment."""
        settings = self.settings
        return (
            settings.smtpd_sasl_auth_enable
            and (self.authenticator is not None or self.sasl_server is not None)
            and (tls or not settings.smtpd_tls_auth_only)
            and bool(self.usable_mechanisms(tls=tls))
        )

    def ehlo_reply(self, *, tls: bool, auth: bool, xclient: bool, xforward: bool, discard: frozenset[str]) -> bytes:
        """The answer to EHLO; made once for each of its few forms."""
        key = (tls, auth, xclient, xforward, discard)
        reply = self._offers.get(key)
        if reply is None:
            settings = self.settings
            reply = self._offers[key] = offer(
                settings.myhostname,
                size=settings.message_size_limit,
                vrfy=not settings.disable_vrfy_command,
                etrn=not self.lmtp,
                starttls=self.starttls and not tls,
                mechanisms=self.usable_mechanisms(tls=tls) if auth else (),
                broken_clients=settings.broken_sasl_auth_clients,
                xclient=xclient,
                xforward=xforward,
                smtputf8=settings.smtputf8_enable,
                discard=discard,
            )
        return reply
