"""A connection to postscreen, from connect to the hand-over or the end.

PostscreenListener.on_stream() is given to net.tcp.start_server(). A client that may pass is handed over inside the
process: the SMTP server's session goes on with the same stream.

Standards: postscreen(8); HAProxy's proxy-protocol.txt.
"""

from posthouse.net.connection import TcpStream
from posthouse.net.stream import Address
from posthouse.session.postscreen.access_list import Access
from posthouse.session.postscreen.action import Act
from posthouse.session.postscreen.deep import deep_tests, turn_away
from posthouse.session.postscreen.early import early_tests
from posthouse.session.postscreen.ends import Dropped, HungUp
from posthouse.session.postscreen.passes import parse_passes
from posthouse.session.postscreen.service import PostscreenService
from posthouse.session.postscreen.trials import DEEP, EARLY
from posthouse.session.postscreen.visit import Visit
from posthouse.session.smtp.upstream import proxied
from posthouse.tables.table import TableRetry
from posthouse.wire.smtp.reply import Reply

NO_RESOURCES = Reply(421, "4.3.2", "No system resources")
TOO_MANY = Reply(421, "4.7.0", "Error: too many connections")
SERVERS_BUSY = Reply(421, "4.3.2", "All server ports are busy")
SCREENING_BUSY = Reply(421, "4.3.2", "All screening ports are busy")
DENIED_DROP = Reply(521, "5.3.2", "Service currently unavailable")
DENIED = Reply(550, "5.3.2", "Service currently unavailable")


class PostscreenListener:
    """Runs the connections of one listener."""

    def __init__(self, service: PostscreenService) -> None:
        self.service = service

    async def on_stream(self, stream: TcpStream) -> None:
        """One connection, to its end."""
        service = self.service
        log = service.log.session(next(service.numbers))
        peer, local = _bare(stream.peer), _bare(stream.local)
        if service.settings.postscreen_upstream_proxy_protocol:
            ends = await proxied(stream, service.settings.postscreen_upstream_proxy_timeout)
            if isinstance(ends, str):
                log.warning(f"haproxy read: {ends}")
                stream.write(bytes(NO_RESOURCES))
                stream.close()
                return
            peer, local = ends
        service.cleaning.tend(service.clock(), log.info)
        visit = Visit(service, stream, log, peer, local)
        log.info(f"CONNECT from {visit.where_from} to [{local.host}]:{local.port}")
        visit.record("connect", visit.where_from)
        visit.known = service.queues.enter(peer.host)
        try:
            handed_over = await self._screen(visit)
        finally:
            service.queues.leave(peer.host)
            if visit.noforward:
                stream.close()
        if handed_over:
            await service.next.serve(stream, peer, local)

    async def _screen(self, visit: Visit) -> bool:
        """Test the client; True when the SMTP server has a place for it."""
        try:
            await self._tests(visit)
        except Dropped as dropped:
            await self._dropped(visit, dropped)
            return False
        except HungUp:
            self._hung_up(visit)
            return False
        self._conclude(visit)
        if await self._admitted(visit):
            return True
        try:
            if visit.teased:  # half a greeting cannot be answered yet
                await turn_away(visit, NO_RESOURCES)
            raise Dropped(NO_RESOURCES)
        except Dropped as dropped:
            await self._dropped(visit, dropped)
        except HungUp:
            self._hung_up(visit)
        return False

    async def _admitted(self, visit: Visit) -> bool:
        queues = visit.service.queues
        queues.waiting += 1
        try:
            return await visit.service.next.admit()
        finally:
            queues.waiting -= 1

    async def _tests(self, visit: Visit) -> None:
        """Raises Dropped or HungUp unless the client may pass."""
        service, log = visit.service, visit.log
        settings, queues = service.settings, service.queues
        limit = settings.postscreen_client_connection_count_limit
        if 0 < limit < visit.known.open:
            log.info(f"NOQUEUE: reject: CONNECT from {visit.where_from}: too many connections")
            parameter = "postscreen_client_connection_count_limit"
            raise Dropped(TOO_MANY, visit.evidence_of(parameter, f"{visit.known.open} > {limit}"))
        limit = settings.postscreen_post_queue_limit
        if queues.waiting >= limit:
            log.info(f"NOQUEUE: reject: CONNECT from {visit.where_from}: all server ports busy")
            raise Dropped(SERVERS_BUSY, visit.evidence_of("postscreen_post_queue_limit", f"{queues.waiting} wait"))
        if await self._listed(visit):
            return
        self._remember(visit)
        if not visit.due and not visit.refused and not visit.new:
            log.info(f"PASS OLD {visit.where_from}")
            visit.record("screened", "pass: old")
            return
        await self._interface(visit)
        limit = settings.postscreen_pre_queue_limit
        if queues.here - queues.waiting >= limit:
            log.info(f"reject: connect from {visit.where_from}: all screening ports busy")
            raise Dropped(SCREENING_BUSY, visit.evidence_of("postscreen_pre_queue_limit", f"{queues.here} are here"))
        if visit.due & EARLY:
            await early_tests(visit)
        if visit.noforward or visit.due & DEEP - visit.passed:
            await deep_tests(visit)

    async def _listed(self, visit: Visit) -> bool:
        """postscreen_access_list: True for a client that passes without tests. Raises Dropped."""
        service = visit.service
        polite = service.settings.respectful_logging
        ruling = await service.access.judge(visit.client.host)
        if ruling.access is Access.DUNNO:
            return False
        if ruling.access is Access.PERMIT:
            visit.log.info(f"{'ALLOW' if polite else 'WHITE'}LISTED {visit.where_from}")
            visit.record("screened", "permit", ruling.evidence)
            return True
        visit.log.info(f"{'DENY' if polite else 'BLACK'}LISTED {visit.where_from}")
        action = service.actions.denylist
        visit.record("screened", f"denylisted: {action.value}", ruling.evidence)
        if action is Act.DROP:
            visit.vetoed = True
            raise Dropped(DENIED_DROP, ruling.evidence)
        if action is Act.ENFORCE:
            visit.vetoed = True
            visit.enforce(DENIED, ruling.evidence)
        return False

    def _remember(self, visit: Visit) -> None:
        """Which tests are due, by the cache and by what sessions that are here at the same time have passed."""
        service, known = visit.service, visit.known
        if known.open == 1 and not visit.refused:
            line = service.cache.get(visit.client.host)
            until = None if line is None else parse_passes(line)
            if until is not None:
                known.until = until
        visit.new = service.tests.is_new(known.until)
        visit.due = service.tests.due(known.until, service.clock())

    async def _interface(self, visit: Visit) -> None:
        """postscreen_allowlist_interfaces: on some addresses (backup MX) nobody earns a pass."""
        service = visit.service
        try:
            found = await service.interfaces.matches("", visit.local.host)
        except TableRetry:
            found = None
        if found is None:
            visit.vetoed = visit.noforward = True
            polite = service.settings.respectful_logging
            visit.log.info(f"{'ALLOW' if polite else 'WHITE'}LIST VETO {visit.where_from}")
            evidence = visit.evidence_of("postscreen_allowlist_interfaces", visit.local.host)
            visit.rcpt_evidence = visit.rcpt_evidence or evidence
            visit.record("screened", "no pass on this interface", evidence)

    # -- ends -----------------------------------------------------------------------------

    def _conclude(self, visit: Visit) -> None:
        """What the client has passed is told, and remembered."""
        service = visit.service
        word = visit.blessed()
        if word:
            visit.known.passed += 1
            visit.log.info(f"PASS {word} {visit.where_from}")
            visit.record("screened", f"pass: {word.lower()}")
        if visit.passed and not visit.refused:
            service.cache.put(visit.client.host, service.tests.kept(visit.known.until))

    async def _dropped(self, visit: Visit, dropped: Dropped) -> None:
        visit.noforward = True
        if dropped.reply.code >= 400:
            said = " ".join(visit.softened(dropped.reply).lines())
            visit.record("refused", said, dropped.evidence or visit.rcpt_evidence)
        await visit.send(dropped.reply)
        self._conclude(visit)
        visit.log.info(f"DISCONNECT {visit.where_from}")

    def _hung_up(self, visit: Visit) -> None:
        visit.noforward = True
        visit.log.info(f"HANGUP after {visit.elapsed_text()} from {visit.where_from} in {visit.stage}")
        self._conclude(visit)
        visit.log.info(f"DISCONNECT {visit.where_from}")


def _bare(address: Address) -> Address:
    """An IPv4 client of an IPv6 socket is an IPv4 client."""
    if address.host.startswith("::ffff:") and "." in address.host:
        return Address(address.host.removeprefix("::ffff:"), address.port)
    return address
