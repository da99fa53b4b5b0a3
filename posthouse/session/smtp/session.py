"""One SMTP session: what is known of the client, and how replies, log lines and journal entries leave.

The verbs live in files of their own and change a session through what stands here; listener.py
runs it. Replies gather while bytes wait to be read and leave in one write. An error reply
counts against the client; past smtpd_soft_error_limit it is delayed.

Standards: RFC 5321 sections 3 and 4; RFC 2920 section 3.2.
"""

import time
from dataclasses import replace

from posthouse.address.local_part import quote_address
from posthouse.envelope.envelope import Client
from posthouse.envelope.verdict import DUNNO, Action, Evidence, Verdict
from posthouse.host.log import ProcessLog
from posthouse.journal.journal import Entry
from posthouse.net.connection import TcpStream
from posthouse.net.stream import Address, StreamClosed, StreamTimeout, TlsInfo
from posthouse.session.smtp.footer import add_footer, expand_footer
from posthouse.session.smtp.seams import MilterTalk, StageSession
from posthouse.session.smtp.service import SmtpService
from posthouse.session.smtp.settings import SmtpdSettings
from posthouse.session.smtp.transaction import Transaction
from posthouse.session.smtp.transcript import PROTOCOL, Transcript, refusal_class
from posthouse.tables.table import TableRetry
from posthouse.wire.escape import escaped
from posthouse.wire.smtp.dialogue import Dialogue
from posthouse.wire.smtp.reply import Reply

OK = b"250 2.0.0 Ok\r\n"
REPLIES_HELD = 100
"""Replies gathered for one write at most, so that a peer that never reads costs little memory."""
PIPELINED_LIMIT = 100
"""Bytes of improperly pipelined input that are logged."""

COUNTED = (
    "helo",
    "ehlo",
    "lhlo",
    "xclient",
    "xforward",
    "starttls",
    "auth",
    "mail",
    "rcpt",
    "data",
    "bdat",
    "rset",
    "noop",
    "vrfy",
    "etrn",
    "quit",
    "unknown",
)
"""The order of counters in the disconnect line."""


class SessionEnded(Exception):
    """The session is over; the text is for the log: "lost connection", "timeout", "too many errors", or ""."""


class SmtpSession:
    """One connection's dialogue."""

    __slots__ = (
        "_budget",
        "_footer",
        "_judged",
        "_out",
        "access_denied",
        "auth_exempt",
        "auth_login",
        "client",
        "connections",
        "counters",
        "dialogue",
        "discard",
        "error_count",
        "exempt",
        "forwarded",
        "forwarded_id",
        "forwarded_local",
        "forwarded_shown",
        "junk_count",
        "key",
        "log",
        "milters",
        "namaddr",
        "peer_address",
        "server_address",
        "server_port",
        "service",
        "settings",
        "spoke_ahead",
        "stage",
        "stream",
        "tls",
        "transaction",
        "transcript",
        "verp_authorized",
        "where",
        "xclient_authorized",
        "xforward_authorized",
    )

    def __init__(
        self, service: SmtpService, stream: TcpStream, log: ProcessLog, client: Client, local: Address
    ) -> None:
        settings = service.settings
        if service.under_stress is not None and service.stressed():
            settings = service.under_stress
        self.service = service
        self.settings: SmtpdSettings = settings
        self.stream = stream
        self.log = log
        self.client = client
        self.peer_address = client.address
        """Who is really there, whatever XCLIENT says."""
        self.server_address = local.host
        self.server_port = local.port
        self.namaddr = ""
        self.key = f"{log.number:x}"
        """Ties journal entries of the session together."""
        self.dialogue = Dialogue(settings.line_length_limit)
        self.stage: StageSession
        self.begin_again(client)
        self.tls: TlsInfo | None = stream.tls
        self.transaction: Transaction | None = None
        self.counters: dict[str, list[int]] = {}
        self.where = "CONNECT"
        self.error_count = 0
        self.junk_count = 0
        self.exempt = False
        """Whether the client is in smtpd_client_event_limit_exceptions."""
        self.auth_exempt = False
        """Whether AUTH is not announced to it (smtpd_sasl_exceptions_networks)."""
        self.auth_login = ""
        """Whom the last attempt to log in was for: Postfix's log goes on naming him."""
        self.xclient_authorized = False
        """Whether the client may speak for others (smtpd_authorized_xclient_hosts)."""
        self.verp_authorized = False
        """Whether the client may use XVERP (smtpd_authorized_verp_clients)."""
        self.xforward_authorized = False
        """Whether the client may say whom it got messages from (smtpd_authorized_xforward_hosts)."""
        self.forwarded: Client | None = None
        """The client of the next message as XFORWARD told it."""
        self.forwarded_id = ""
        self.forwarded_local: bool | None = None
        self.forwarded_shown = False
        """Whether it told anything of the client."""
        self.connections = 0
        """How many connections the client has."""
        self.milters: MilterTalk | None = None
        self.access_denied = False
        """Whether the greeting already refused it."""
        self.discard: frozenset[str] = settings.discarded - {"SILENT-DISCARD"}
        self.transcript = Transcript() if service.notices is not None else None
        self._judged: Reply | None = None
        """The last refusal that has a class of its own (notify_classes)."""
        self._footer = settings.smtpd_reject_footer
        self._out: list[bytes] = []
        self._budget = float(settings.smtpd_timeout)
        self.spoke_ahead = False
        """Whether it once sent more behind a command that must end a group; it is logged, and never forgotten."""

    # -- bytes ----------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue a reply; it leaves when there is nothing more to read."""
        self._out.append(data)
        if self.transcript is not None:
            self.transcript.answered(data)

    async def flush(self) -> None:
        """Send what is queued."""
        if self._out and not self._sent():
            await self._drain()

    def _sent(self) -> bool:
        """Hand what is queued to the stream; False when the caller must _drain()."""
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return self.stream.send(data)

    async def _drain(self) -> None:
        try:
            await self.stream.drain(self.settings.smtpd_timeout)
        except StreamTimeout:
            raise SessionEnded("timeout") from None
        except StreamClosed:
            raise SessionEnded("lost connection") from None

    async def answer(self, reply: Reply) -> None:
        """Queue a refusal or another reply; errors get the footer, count, and may be delayed."""
        if reply.code >= 400:
            settings = self.settings
            reply = await self._with_footer(self._softened(reply))
            if self.error_count >= settings.smtpd_soft_error_limit and settings.smtpd_error_sleep_time:
                await self.flush()
                await self.service.sleep(settings.smtpd_error_sleep_time)
        self.send(bytes(reply))
        if len(self._out) > REPLIES_HELD:
            await self.flush()

    def _softened(self, reply: Reply) -> Reply:
        """soft_bounce, for trying a configuration out: whatever would be refused for good is to be tried again."""
        if not self.settings.soft_bounce or reply.code < 500:
            return reply
        return replace(reply, code=reply.code - 100, status=f"4{reply.status[1:]}" if reply.status else "")

    async def _with_footer(self, reply: Reply) -> Reply:
        footer = self._footer
        try:
            found = await self.service.footers(" ".join(reply.lines()))
        except TableRetry:
            found = None
        if found is not None:
            footer = found
        if not footer:
            return reply
        client, transaction = self.client, self.transaction
        values = {
            "client": f"{client.name}[{client.address}]",
            "client_address": client.address,
            "client_name": client.name,
            "client_port": client.port,
            "helo_name": client.helo,
            "localtime": time.strftime("%b %d %H:%M:%S", time.localtime(self.service.clock())),
            "recipient": "" if transaction is None else transaction.last_recipient,
            "sender": "" if transaction is None else transaction.command.sender,
            "server_name": self.settings.myhostname,
            "server_address": self.server_address,
            "server_port": str(self.server_port),
        }
        return add_footer(reply, expand_footer(footer, values, self.log.warning))

    def new_request(self) -> None:
        """A command begins: its deadline starts (smtpd_per_request_deadline)."""
        self._budget = float(self.settings.smtpd_timeout)

    async def read(self) -> bytes:
        """Bytes from the client, at least one. Raises SessionEnded."""
        if self._out and not self._sent():  # not flush(): a coroutine less for every command
            await self._drain()
        settings = self.settings
        try:
            if not settings.smtpd_per_request_deadline:
                data = await self.stream.read(settings.smtpd_timeout)
            else:
                started = self.stream.loop.time()
                data = await self.stream.read(max(self._budget, 0.001))
                self._budget -= self.stream.loop.time() - started
                if settings.smtpd_min_data_rate:
                    earned = len(data) / settings.smtpd_min_data_rate
                    self._budget = min(self._budget + earned, float(settings.smtpd_timeout))
        except StreamTimeout:
            reply = Reply(421, "4.4.2", f"{settings.myhostname} Error: timeout exceeded")
            self.send(bytes(await self._with_footer(reply)))
            await self.flush()
            raise SessionEnded("timeout") from None
        except StreamClosed:
            raise SessionEnded("lost connection") from None
        if not data:
            raise SessionEnded("lost connection")
        return data

    # -- words ----------------------------------------------------------------------------

    def whatsup(self, recipient: str = "") -> str:
        """The tail of log lines: from, to, proto, helo."""
        parts = []
        transaction = self.transaction
        if transaction is not None:
            parts.append(f"from=<{quote_address(transaction.command.sender)}>")
            if not recipient:
                recipient = transaction.trying or (
                    transaction.last_recipient if len(transaction.recipients) == 1 else ""
                )
        if recipient:
            parts.append(f"to=<{quote_address(recipient)}>")
        parts.append(f"proto={self.client.protocol}")
        if self.client.helo:
            parts.append(f"helo=<{self.client.helo}>")
        return " ".join(parts)

    @property
    def queue_id(self) -> str:
        """The queue id, or NOQUEUE."""
        return (self.transaction.queue_id if self.transaction is not None else "") or "NOQUEUE"

    def event(self, log_class: str, stage_word: str, text: str) -> None:
        """A policy event that changes nothing by itself: reject_warning, hold, discard, prepend, warn. Without a class
        the text is the whole line."""
        if not log_class:
            self.log.info(text)
            return
        self.log.info(f"{self.queue_id}: {log_class}: {stage_word} from {self.namaddr}: {text}; {self.whatsup()}")

    def refuse(self, reply: Reply, stage_word: str, *, recipient: str = "", log_class: str = "reject") -> Reply:
        """Log a refusal as Postfix does; gives the reply back."""
        reply = self._softened(reply)
        self.log.info(
            f"{self.queue_id}: {log_class}: {stage_word} from {self.namaddr}: "
            f"{' '.join(reply.lines())}; {self.whatsup(recipient)}"
        )
        return self.erred(reply, refusal_class(reply))

    def erred(self, reply: Reply, error_class: str) -> Reply:
        """An error of a class of notify_classes, or of none (""); gives the reply back."""
        self._judged = reply
        if self.transcript is not None and error_class:
            self.transcript.errors.add(error_class)
        return reply

    def misspoke(self, reply: Reply) -> None:
        """The client is told of an error: against the protocol, unless it has a class already or is our own trouble."""
        if reply is not self._judged:
            self.erred(reply, refusal_class(reply) if reply.status[2:4] == "3." else PROTOCOL)

    def forgive(self) -> None:
        """A message was accepted: errors before it count no more."""
        self.error_count = self.junk_count = 0
        if self.transcript is not None:
            self.transcript.errors.clear()

    def judge(self, verdict: Verdict, step: str, stage_word: str, *, recipient: str = "") -> Reply | None:
        """Keep a verdict in the journal; the refusal when it is one, logged, or None."""
        action = verdict.action
        if action is not Action.REJECT and action is not Action.DEFER:
            if recipient or verdict is not DUNNO:  # a stage where no list had anything to say tells nobody anything
                self.record(step, recipient, action.value, verdict.evidence)
            return None
        reply = Reply(verdict.code, verdict.status, verdict.text)
        self.record("refused", recipient, f"{action.value}: {' '.join(reply.lines())}", verdict.evidence)
        return self.refuse(reply, stage_word, recipient=recipient, log_class=verdict.log_class)

    def record(self, step: str, recipient: str, verdict: str, evidence: tuple[Evidence, ...] = ()) -> None:
        """One journal entry."""
        transaction = self.transaction
        queue_id = sender = ""
        if transaction is not None:
            queue_id, sender = transaction.queue_id, transaction.command.sender
        service = self.service
        service.journal.record(
            Entry(service.clock(), step, queue_id, "", self.key, sender, recipient, verdict, evidence)
        )

    def improper_pipelining(self, verb: str) -> None:
        """Bytes came behind a command that must end a group (RFC 2920 section 3.1); logged once."""
        if not self.spoke_ahead:
            self.spoke_ahead = True
            shown = escaped(self.dialogue.pending[:PIPELINED_LIMIT])
            self.log.info(f"improper command pipelining after {verb} from {self.namaddr}: {shown}")

    # -- lifetimes ------------------------------------------------------------------------

    def reset(self) -> None:
        """Drop the transaction (RSET, HELO, EHLO, end of data); nothing else."""
        if self.transaction is not None:
            self.transaction.rollback()
            self.transaction = None
            self.stage.facts.queue_id = ""
            self.stage.reset()
            if self.milters is not None:
                self.milters.reset()
        transcript, notices = self.transcript, self.service.notices
        if (
            transcript is not None
            and notices is not None
            and len(transcript) > self.settings.smtpd_history_flush_threshold
            and not notices.wanted(transcript.errors)
        ):
            transcript.clear()
        if self.forwarded is not None:
            self.forwarded, self.forwarded_id, self.forwarded_local, self.forwarded_shown = None, "", None, False
        self.dialogue.reset()

    def begin_again(self, client: Client) -> None:
        """Another client from here on: at connect, and when XCLIENT says so."""
        self.client = client
        port = f":{client.port}" if self.settings.smtpd_client_port_logging else ""
        self.namaddr = f"{client.name}[{client.address}]{port}"
        self.stage = self.service.stages.begin(client, self.server_address, self.server_port, log=self.event)

    def rename(self, *, helo: str, protocol: str) -> None:
        """HELO or EHLO told a name."""
        c = self.client
        self.client = Client(
            c.name, c.address, c.port, c.reverse_name, helo, protocol, c.sasl_method, c.sasl_username, c.sasl_sender
        )

    def counted(self, verb: str, *, good: bool) -> None:
        """Count a command for the disconnect line."""
        counter = self.counters.get(verb)
        if counter is None:
            counter = self.counters[verb] = [0, 0]
        counter[1] += 1
        if good:
            counter[0] += 1

    def tally(self) -> str:
        """The counters: "ehlo=1 mail=1/2 commands=2/3"."""
        parts = []
        good = total = 0
        for verb in COUNTED:
            counter = self.counters.get(verb)
            if counter is not None:
                good += counter[0]
                total += counter[1]
                parts.append(
                    f"{verb}={counter[0]}" if counter[0] == counter[1] else f"{verb}={counter[0]}/{counter[1]}"
                )
        parts.append(f"commands={good}" if good == total and total else f"commands={good}/{total}")
        return " ".join(parts)

    async def over_limit(self, event: str, limit: int, what: str) -> bool:
        """Count a rate-limited event; whether it is one too many (then a warning says so)."""
        if not limit or self.exempt:
            return False
        number = self.service.limits.count(self.service.name, self.client.address, event)
        if number <= limit:
            return False
        self.log.warning(f"{what} rate limit exceeded: {number} from {self.namaddr} for service {self.service.name}")
        return True
