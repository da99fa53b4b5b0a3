"""The SMTP and LMTP delivery agent: one instance for each master.cf transport with command smtp or lmtp.

A request is tried on a kept connection of its nexthop first, then on each address of each
nexthop in order, until every recipient is sent or refused for good. What one host defers the
next may take (RFC 5321 section 5.1); the last word of the last host is the reason for what is
left. deliver() never raises for what the world does.

Standards: RFC 5321 section 5.1; RFC 2033; Postfix smtp(8), lmtp(8).
"""

import os
import time
from collections.abc import Callable, Collection, Sequence

from posthouse.bounce.session_notice import SessionNotices
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.dns.mx import MxLookup, MxSettings
from posthouse.dns.native import NativeLookup
from posthouse.dns.resolver import Resolver
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.host.log import ProcessLog
from posthouse.net.stream import Stream
from posthouse.net.tls import TlsUnusable
from posthouse.routing.generic import Generic
from posthouse.tables.maps import Maps, open_maps
from posthouse.tables.match_list import open_match_list
from posthouse.tables.table import TableRetry
from posthouse.transport.smtp.connection import Connection
from posthouse.transport.smtp.dane import Dane
from posthouse.transport.smtp.exchange import Exchange, Stale
from posthouse.transport.smtp.hosts import Candidate, find_candidates
from posthouse.transport.smtp.login import find_login
from posthouse.transport.smtp.lookups import NO_LOOKUPS, LookupMaps, Lookups
from posthouse.transport.smtp.nexthop import Nexthop, NexthopError, parse_nexthop, parse_port
from posthouse.transport.smtp.opener import Connect, Opener
from posthouse.transport.smtp.outgoing import Outgoing
from posthouse.transport.smtp.progress import BEFORE_TALK, Progress
from posthouse.transport.smtp.reasons import SiteFailed, TlsRejected
from posthouse.transport.smtp.session_cache import SessionCache
from posthouse.transport.smtp.settings import SmtpSettings, lmtp_name
from posthouse.transport.smtp.tls_policy import Contexts, KeyLookup, Policies, PolicyError, TlsPolicy
from posthouse.transport.smtp.transcript import Transcript


async def connect_candidate(candidate: Candidate, timeout: float, local_address: str | None) -> Stream:
    """The real way out. Raises OSError, StreamTimeout."""
    from posthouse.net.tcp import connect, connect_unix

    if candidate.unix:
        return await connect_unix(candidate.unix, timeout=timeout)
    return await connect(candidate.address, candidate.port, timeout=timeout, local_address=local_address)


def read_key_file(path: str) -> bytes:
    """Bytes of a certificate or key, read while the process still may. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {os.strerror(error.errno or 0)}") from error


class SmtpAgent:
    """Implements DeliveryAgent."""

    def __init__(
        self,
        settings: SmtpSettings,
        lookup: MxLookup,
        log: ProcessLog,
        *,
        lmtp: bool = False,
        resolver: Resolver | None = None,
        policy_maps: KeyLookup | None = None,
        password_maps: LookupMaps | None = None,
        lookups: Lookups = NO_LOOKUPS,
        outgoing: Outgoing | None = None,
        notices: SessionNotices | None = None,
        connect: Connect = connect_candidate,
        read_file: Callable[[str], bytes] = read_key_file,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._lookup = lookup
        self._log = log
        self._lmtp = lmtp
        self._clock = clock
        try:
            self._port = parse_port(settings.smtp_tcp_port)
        except NexthopError as error:
            raise ConfigError(str(error)) from error
        self._policies = Policies(settings, policy_maps, lookups.sites, "lmtp" if lmtp else "smtp")
        self._passwords = password_maps
        self._kept = lookups.kept
        self._dane = None if resolver is None else Dane(resolver, settings.tls_dane_digests, log)
        self._outgoing = outgoing
        self._notices = notices if notices is not None and notices.wanted(("protocol",)) else None
        try:
            contexts = Contexts(settings, read_file)
        except TlsUnusable as error:
            raise ConfigError(str(error)) from error
        self._opener = Opener(
            settings,
            contexts,
            connect,
            log,
            clock,
            lmtp=lmtp,
            lookups=lookups,
            watched=self._notices is not None,
            time=time_of_day,
        )
        self._exchange = Exchange(settings, log, outgoing, lmtp=lmtp)
        self._cache = SessionCache(settings, clock)
        self._fallback = " ".join(settings.smtp_fallback_relay)
        self._parsed: dict[str, list[Nexthop]] = {}

    @classmethod
    def open(
        cls,
        configuration: Configuration,
        command: str,
        resolver: Resolver,
        log: ProcessLog,
        own_addresses: Collection[str],
        *,
        native: NativeLookup | None = None,
        notices: SessionNotices | None = None,
    ) -> "SmtpAgent":
        """The agent for one master.cf service: configuration with the service's -o, command "smtp" or "lmtp".

        Call while the process may still read keys and password maps. Raises ConfigError.
        """
        lmtp = command == "lmtp"
        rename = lmtp_name if lmtp else None
        settings = read_settings(SmtpSettings, configuration, rename)
        prefix = "lmtp" if lmtp else "smtp"
        lookup = MxLookup(
            read_settings(MxSettings, configuration, rename),
            resolver,
            native=native,
            own_addresses=own_addresses,
            warn=log.warning,
        )

        kept = settings.smtp_connection_cache_destinations

        def maps(value: str, parameter: str) -> Maps | None:
            return open_maps(value, configuration, f"{prefix}_{parameter}") if value else None

        passwords = settings.smtp_sasl_password_maps if settings.smtp_sasl_auth_enable else ""
        if settings.smtp_sasl_auth_enable and not passwords:
            raise ConfigError(f"specify a password table via the `{prefix}_sasl_password_maps' configuration parameter")
        return cls(
            settings,
            lookup,
            log,
            lmtp=lmtp,
            resolver=resolver,
            lookups=Lookups(
                maps(settings.smtp_reply_filter, "reply_filter"),
                maps(settings.smtp_pix_workaround_maps, "pix_workaround_maps"),
                maps(settings.smtp_discard_ehlo_keyword_address_maps, "discard_ehlo_keyword_address_maps"),
                maps(settings.smtp_tls_per_site, "tls_per_site"),
                open_match_list(kept, configuration, f"{prefix}_connection_cache_destinations") if kept else None,
            ),
            outgoing=Outgoing.open(configuration, log, Generic.open(configuration, rename), prefix),
            notices=notices,
            policy_maps=maps(settings.smtp_tls_policy_maps, "tls_policy_maps"),
            password_maps=maps(passwords, "sasl_password_maps"),
        )

    async def close(self) -> None:
        """Say goodbye on every kept connection."""
        await self._cache.close()

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """One Outcome per recipient."""
        key = request.nexthop
        if self._settings.smtp_sender_dependent_authentication:
            key += "\0" + request.sender
        started = self._clock()
        if self._outgoing is not None:
            try:
                request = await self._outgoing.envelope(request)
            except TableRetry as error:
                dsn = Dsn("4.3.0", f"{error}")
                return [Outcome(queued.index, Fate.DEFERRED, dsn, "none") for queued in request.recipients]
        progress = Progress(request, started, list(request.recipients))
        cache = self._cache
        cache.begin(key)
        try:
            tried = ""
            # A kept connection may have been closed by its server meanwhile: then the next one, then a new one.
            while (connection := cache.take(key)) is not None:
                if await self._use(connection, progress, key):
                    tried = connection.candidate.relay
                    break
            if progress.pending:
                await self._try_nexthops(progress, key, tried)
        finally:
            cache.end(key)
        if progress.pending:
            progress.give_up(self._clock())
        return progress.outcomes

    async def _try_nexthops(self, progress: Progress, key: str, tried: str) -> None:
        text = progress.request.nexthop
        try:
            nexthops = self._parse(text)
        except NexthopError as error:
            progress.trouble = Dsn("4.3.5", str(error))
            return
        if self._fallback and not self._lmtp:
            nexthops = [*nexthops, *parse_nexthop(self._fallback, self._port)]
        for number, nexthop in enumerate(nexthops):
            found = await find_candidates(
                nexthop,
                self._lookup,
                detect_loop=not self._lmtp and nexthop.port == self._port,
                myhostname=self._settings.myhostname,
                queue_directory=self._settings.queue_directory,
            )
            if isinstance(found, Dsn):
                progress.site_trouble(found, "none", self._log, more=number + 1 < len(nexthops))
                if found.status == "5.4.6":
                    break  # mail that loops must not go on to a fallback relay
                continue
            sessions = 0
            for candidate in found:
                if candidate.relay == tried:
                    continue
                progress.tell_what_is_left(self._log)
                connection = await self._open(candidate, nexthop, progress)
                if not progress.pending:
                    return
                if connection is None:
                    continue
                keep = key if candidate.best and number == 0 else ""
                await self._use(connection, progress, keep)
                if not progress.pending:
                    return
                sessions += 1
                if 0 < self._settings.smtp_mx_session_limit <= sessions:
                    break
        self._excuse_configuration(progress, text)

    async def _open(self, candidate: Candidate, nexthop: Nexthop, progress: Progress) -> Connection | None:
        """A connection to a host, or None with the reason noted."""
        try:
            policy = await self._policies.policy(nexthop, candidate.host)
            if policy.level in ("dane", "dane-only"):
                assert self._dane is not None, "DANE needs DNS"
                applied = await self._dane.apply(policy, candidate, nexthop)
                if isinstance(applied, Dsn):
                    progress.site_trouble(applied, "none", self._log, more=False)
                    return None
                policy = applied
            login = await find_login(
                self._passwords,
                self._settings,
                sender=progress.request.sender,
                host=candidate.host,
                nexthop=nexthop.text,
            )
        except TableRetry as error:
            progress.site_trouble(Dsn("4.3.0", f"{error}"), "none", self._log, more=False)
            return None
        except PolicyError as error:
            problem = "client TLS configuration problem"
            self._log.warning(f"{error}")
            self._log.warning(f"TLS policy lookup for {nexthop.text}/{candidate.host}: {problem}")
            progress.site_trouble(Dsn("4.7.5", problem), "none", self._log, more=False)
            return None
        detect_loop = not self._lmtp and candidate.port == self._port
        try:
            try:
                return await self._opener.open(
                    candidate, nexthop, policy, login, progress.request, detect_loop=detect_loop
                )
            except TlsRejected as failure:
                if login is not None or not self._may_go_plain(policy, progress.request):
                    raise
                # RFC 7435: opportunistic TLS that fails is no reason to hold the mail back for long.
                self._log.info(f"{progress.request.queue_id}: {failure.dsn.reason}")
                plain = TlsPolicy("none")
                return await self._opener.open(
                    candidate, nexthop, plain, login, progress.request, detect_loop=detect_loop
                )
        except SiteFailed as failure:
            connected = not failure.dsn.reason.startswith(BEFORE_TALK)
            if failure.transcript is not None:
                await self._tell_postmaster(candidate.relay, failure.transcript)
            if failure.dsn.status.startswith("5"):
                # This host answers for the destination, and it said no for good.
                progress.refuse_all(failure.dsn, candidate.relay, self._clock() - progress.started)
                return None
            progress.site_trouble(failure.dsn, candidate.relay if connected else "none", self._log, more=not connected)
            return None

    async def _use(self, connection: Connection, progress: Progress, key: str) -> bool:
        """Carry what is pending over a connection and give it back; False when it was stale."""
        ready = self._clock()
        setup = ready - progress.started
        relay = connection.candidate.relay
        try:
            results = await self._exchange.carry(connection, progress.request, progress.pending)
        except BaseException:
            connection.stream.abort()  # cancelled: the dialogue is out of step
            raise
        if isinstance(results, Stale):
            connection.stream.close()
            return False
        done = self._clock()
        progress.spoken = True
        left: list[QueuedRecipient] = []
        for result in results:
            dsn = result.dsn
            first = dsn.status[0]
            if first == "4":
                left.append(result.recipient)
                progress.defer(result.recipient, dsn, relay, setup, connection.uses)
                continue
            progress.outcomes.append(
                Outcome(
                    result.recipient.index,
                    Fate.DELIVERED if first == "2" else Fate.BOUNCED,
                    dsn,
                    relay,
                    setup,
                    done - ready,
                    connection.uses,
                )
            )
        progress.pending = left
        if key and connection.usable and not connection.closing:
            self._cache.give_back(key, connection, always=await self._is_kept(progress.request.nexthop))
        else:
            self._cache.leave(connection)
        if connection.transcript is not None:
            await self._tell_postmaster(relay, connection.transcript)
            connection.transcript.clear()
        return True

    async def _is_kept(self, text: str) -> bool:
        """Whether connections for a nexthop are kept whatever is on its way."""
        if self._kept is None:
            return False
        nexthop = self._parse(text)[0]
        try:
            return await self._kept.matches(nexthop.path or nexthop.host) is not None
        except TableRetry:
            return False

    async def _tell_postmaster(self, relay: str, transcript: Transcript) -> None:
        if self._notices is None or not transcript.wrong:
            return
        party = f"{'LMTP' if self._lmtp else 'SMTP'} client"
        await self._notices.tell(relay, transcript.said, party=party, opening=f"Unexpected response from {relay}.")

    def _may_go_plain(self, policy: TlsPolicy, request: DeliveryRequest) -> bool:
        """Whether mail that waited for TLS has waited long enough."""
        if policy.mandatory or self._settings.smtp_tls_wrappermode:
            return False
        return request.active_time - request.arrival_time >= self._settings.minimal_backoff_time

    def _excuse_configuration(self, progress: Progress, nexthop: str) -> None:
        # What is most likely our operator's slip must not bounce everybody's mail.
        trouble = progress.trouble
        if trouble is None or progress.spoken or not trouble.status.startswith("5"):
            return
        name = ""
        if self._fallback and not self._lmtp:
            name = "smtp_fallback_relay"
        elif nexthop == self._settings.relayhost:
            name = "relayhost"
        if name:
            self._log.warning(f"{name} configuration problem")
            progress.trouble = Dsn("4.3.5", trouble.reason)

    def _parse(self, text: str) -> list[Nexthop]:
        known = self._parsed.get(text)
        if known is None:
            if len(self._parsed) > 10_000:  # names come from recipients: bounded like any cache
                self._parsed.clear()
            known = self._parsed[text] = parse_nexthop(text, self._port, lmtp=self._lmtp)
        return known
