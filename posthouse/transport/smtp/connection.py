"""One connection to a server, and what is said on it: commands go out, replies come in, each within its time.

opener.py opens it; session_cache.py keeps it between two messages. Trouble is SiteFailed with the reason.

Standards: RFC 5321 sections 4.2 and 4.5.3.2 (timeouts).
"""

from dataclasses import dataclass

from posthouse.envelope.outcome import Dsn
from posthouse.host.log import ProcessLog
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout
from posthouse.tables.table import TableRetry
from posthouse.transport.smtp.hosts import Candidate
from posthouse.transport.smtp.lookups import LookupMaps
from posthouse.transport.smtp.reasons import SiteFailed
from posthouse.transport.smtp.settings import SmtpSettings
from posthouse.transport.smtp.transcript import Transcript
from posthouse.wire.smtp.client_offer import Offer
from posthouse.wire.smtp.client_reader import ClientReplyReader
from posthouse.wire.smtp.reply import RemoteProtocolError, Reply

SHOWN = 100
"""Characters of a line that is no reply in the log."""


@dataclass(slots=True)
class Connection:
    """A connection that is ready."""

    stream: Stream
    candidate: Candidate
    settings: SmtpSettings
    offer: Offer
    reader: ClientReplyReader
    opened: float
    """Monotonic seconds."""
    log: ProcessLog
    protocol: str = "ESMTP"
    """The log's word for what is spoken: ESMTP or LMTP."""
    queue_id: str = ""
    """The message on its way, for the log."""
    reply_filter: LookupMaps | None = None
    """smtp_reply_filter."""
    transcript: Transcript | None = None
    """What is said, where postmaster may want to know."""
    delay_dot: bool = False
    """Whether the final dot waits for a firewall (pix.py)."""
    uses: int = 0
    usable: bool = True
    """Whether it is in step: no transaction open, no reply owed."""
    closing: bool = False
    """Whether the server said that it is going to close (RFC 5321 section 4.2.2, code 421)."""

    async def reply(self, timeout: float, doing: str) -> Reply:
        """The next reply. Raises SiteFailed when the connection broke while `doing`."""
        reader = self.reader
        stream = self.stream
        try:
            while True:
                reply = reader.next_reply() if self.reply_filter is None else await self._filtered(self.reply_filter)
                if reply is not None:
                    if self.transcript is not None:
                        self.transcript.heard(reply, reader.skipped)
                    if reader.skipped or reader.complaints:
                        self._tell_odd()
                    if reply.code == 421:
                        self.closing = True
                    return reply
                data = await stream.read(timeout)
                if not data:
                    if reader.skipped or reader.complaints:
                        if self.transcript is not None:
                            self.transcript.heard(None, reader.skipped)
                        self._tell_odd()
                    break
                reader.receive(data)
        except StreamTimeout:
            self.usable = False
            raise SiteFailed(
                Dsn("4.4.2", f"conversation with {self.candidate.label} timed out while {doing}")
            ) from None
        except StreamClosed:
            pass
        except RemoteProtocolError as error:
            self.usable = False
            raise SiteFailed(
                Dsn("4.5.0", f"protocol error: {error} from {self.candidate.label} while {doing}")
            ) from None
        self.usable = False
        raise SiteFailed(Dsn("4.4.2", f"lost connection with {self.candidate.label} while {doing}"))

    async def _filtered(self, maps: LookupMaps) -> Reply | None:
        """As the reader's next_reply(), each line changed by smtp_reply_filter."""
        reader = self.reader
        while (line := reader.next_line()) is not None:
            text = line.decode("utf-8", "surrogateescape")
            try:
                row = await maps.lookup(text)
            except TableRetry:
                row = None
            if row is not None:
                self.log.info(f'{self.candidate.relay}: replacing server reply "{text}" with "{row.value}"')
                line = row.value.encode("utf-8", "surrogateescape")
            reply = reader.take(line)
            if reply is not None:
                return reply
        return None

    def _tell_odd(self) -> None:
        """What the reader found odd, for log and transcript. What is said before EHLO is not held to it."""
        reader = self.reader
        relay = self.candidate.relay
        for complaint in reader.complaints:
            self.log.warning(f"{relay}: {complaint}")
        reader.complaints.clear()
        if reader.skipped and self.offer.extended:
            for _, line in reader.skipped:
                self.log.warning(f"{self.queue_id}: non-{self.protocol} response from {relay}: {line[:SHOWN]}")
            if self.offer.pipelining:
                self.log.warning(
                    f"to prevent loss of mail, turn off command pipelining for {self.candidate.address} with the "
                    f"{'lmtp_discard_lhlo' if self.protocol == 'LMTP' else 'smtp_discard_ehlo'}_keyword_address_maps "
                    "parameter"
                )
        reader.skipped.clear()

    async def ask(self, line: str, timeout: float, doing: str, *, secret: bool = False) -> Reply:
        """Send one command and take its reply."""
        command = line.encode("utf-8", "surrogateescape") + b"\r\n"
        if self.transcript is not None:
            self.transcript.sent(b"(not shown)" if secret else command)
        self.stream.send(command)
        return await self.reply(timeout, doing)

    def say_quit(self) -> bool:
        """Say goodbye; close unless the server's answer is to be awaited (True: quit() does that)."""
        if self.usable:
            self.stream.write(b"QUIT\r\n")
            if self.transcript is not None:
                self.transcript.sent(b"QUIT")
            if not self.settings.smtp_skip_quit_response:
                return True
        self.usable = False
        self.stream.close()
        return False

    async def quit(self) -> None:
        """Wait for the answer to QUIT and close; nothing that happens here matters to any message."""
        try:
            await self.reply(self.settings.smtp_quit_timeout, "sending QUIT")
        except SiteFailed:
            pass
        self.usable = False
        self.stream.close()
