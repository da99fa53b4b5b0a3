"""One connection's stay with postscreen: which tests are due, passed and failed, and what becomes of it."""

import time

from posthouse.envelope.verdict import Evidence
from posthouse.host.delay import format_delay
from posthouse.host.log import ProcessLog
from posthouse.journal.journal import Entry
from posthouse.net.connection import TcpStream
from posthouse.net.stream import Address
from posthouse.session.postscreen.queues import Known
from posthouse.session.postscreen.service import PostscreenService
from posthouse.session.smtp.footer import add_footer, expand_footer
from posthouse.tables.table import TableRetry
from posthouse.wire.smtp.reply import Reply

BUSY = Reply(450, "4.3.2", "Service currently unavailable")
"""To recipients of a client that failed nothing: it cannot be handed over any more, and shall come again."""


class Visit:
    """The state of one connection."""

    __slots__ = (
        "began",
        "client",
        "due",
        "failed",
        "key",
        "known",
        "local",
        "log",
        "new",
        "noforward",
        "passed",
        "rcpt_evidence",
        "rcpt_reply",
        "service",
        "skipped",
        "stage",
        "stream",
        "teased",
        "vetoed",
        "where_from",
    )

    def __init__(
        self, service: PostscreenService, stream: TcpStream, log: ProcessLog, client: Address, local: Address
    ) -> None:
        self.service = service
        self.stream = stream
        self.log = log
        self.client = client
        self.local = local
        self.where_from = f"[{client.host}]:{client.port}"
        self.key = f"{log.number:x}"
        """Ties journal entries of the connection together."""
        self.known: Known
        self.new = True
        self.due: set[int] = set()
        self.passed: set[int] = set()
        self.failed: set[int] = set()
        self.skipped: set[int] = set()
        """Deep tests that are over for this session: they failed once."""
        self.vetoed = False
        """Whether something besides the five tests speaks against a pass: the access list, the interface."""
        self.noforward = False
        """Whether it can not be handed over any more."""
        self.teased = False
        """Whether the first half of the greeting was sent."""
        self.rcpt_reply = BUSY
        self.rcpt_evidence: tuple[Evidence, ...] = ()
        self.stage = ""
        """For HANGUP lines."""
        self.began = 0.0
        self.begin("tests before SMTP handshake")

    # -- tests ----------------------------------------------------------------------------

    def begin(self, stage: str) -> None:
        """Another stage: its time starts."""
        self.stage = stage
        self.began = self.stream.loop.time()

    @property
    def elapsed(self) -> float:
        """Seconds since the stage began."""
        return self.stream.loop.time() - self.began

    def elapsed_text(self) -> str:
        """The same for the log."""
        return format_delay(self.elapsed, self.service.settings.delay_logging_resolution_limit)

    def passes(self, test: int, seconds: int) -> None:
        """A test is passed for so long."""
        self.passed.add(test)
        self.known.until[test] = int(self.service.clock()) + seconds

    @property
    def refused(self) -> bool:
        """Whether anything failed that is not ignored."""
        return bool(self.failed) or self.vetoed

    def enforce(self, reply: Reply, evidence: tuple[Evidence, ...] = ()) -> None:
        """The tests go on, and every recipient hears this."""
        self.noforward = True
        self.rcpt_reply = reply
        self.rcpt_evidence = evidence

    # -- words ----------------------------------------------------------------------------

    async def send(self, reply: Reply) -> None:
        """Queue a reply; errors get the footer."""
        if reply.code < 400:
            self.stream.write(bytes(reply))
        else:
            self.stream.write(bytes(await self._with_footer(self.softened(reply))))

    def softened(self, reply: Reply) -> Reply:
        """As soft_bounce has it: to be tried again, whatever it is."""
        if self.service.settings.soft_bounce and reply.code >= 500:
            return Reply(reply.code - 100, f"4{reply.status[1:]}" if reply.status else "", reply.text)
        return reply

    async def _with_footer(self, reply: Reply) -> Reply:
        service = self.service
        try:
            footer = await service.footers(" ".join(reply.lines()))
        except TableRetry:
            footer = None
        if footer is None:
            footer = service.reject_footer
        if not footer:
            return reply
        values = {
            "client_address": self.client.host,
            "client_port": str(self.client.port),
            "localtime": time.strftime("%b %d %H:%M:%S", time.localtime(service.clock())),
            "server_name": service.settings.myhostname,
        }
        letters = service.footer_letters
        safe = {name: "".join([c if c in letters else "_" for c in text]) for name, text in values.items()}
        return add_footer(reply, expand_footer(footer, safe, self.log.warning))

    def record(self, step: str, verdict: str, evidence: tuple[Evidence, ...] = (), **addresses: str) -> None:
        """One journal entry."""
        service = self.service
        entry = Entry(service.clock(), step, session=self.key, verdict=verdict, evidence=evidence, **addresses)
        service.journal.record(entry)

    def blessed(self) -> str:
        """PASS NEW or PASS OLD, when every test that was due is passed now; else ""."""
        if self.refused or not self.passed or not self.due <= self.passed:
            return ""
        return "NEW" if self.new and not self.known.passed else "OLD"

    def evidence_of(self, parameter: str, fact: str) -> tuple[Evidence, ...]:
        """A reason that names the parameter, and where it is set."""
        return (Evidence(parameter, self.service.origin(parameter), parameter, fact),)
