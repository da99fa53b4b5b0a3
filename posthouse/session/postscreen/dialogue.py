"""What postscreen's own small server knows of a client, and the lines that come.

Standards: RFC 5321 section 4.5.3.2 (timeouts).
"""

from posthouse.net.stream import StreamClosed, StreamTimeout
from posthouse.session.postscreen.ends import Dropped, HungUp
from posthouse.session.postscreen.trials import PREGREET
from posthouse.session.postscreen.visit import Visit
from posthouse.wire.smtp.reply import Reply

TOO_MUCH = "{} Service unavailable - try again later"


class Dialogue:
    """The dialogue of one client."""

    __slots__ = ("_deadline", "ahead", "count", "helo", "protocol", "sender", "tls", "visit", "where")

    def __init__(self, visit: Visit) -> None:
        """Sends what is left of the greeting."""
        self.visit = visit
        self.helo = ""
        self.protocol = "SMTP"
        self.sender: str | None = None
        self.tls = False
        self.where = "CONNECT"
        """The verb of the last command."""
        self.ahead = b""
        """Bytes behind the line given out last."""
        self.count = 0
        """Commands so far."""
        self._deadline = 0.0
        visit.begin("tests after SMTP handshake")
        visit.noforward = True
        if PREGREET not in visit.failed:  # who has spoken already waits for no greeting
            banner = visit.service.settings.smtpd_banner
            visit.stream.write(f"220 {banner}\r\n".encode("utf-8", "surrogateescape"))

    async def line(self) -> tuple[bytes, bool]:
        """The next command line, and whether it ended without CR."""
        visit = self.visit
        limit = visit.service.settings.line_length_limit
        patience = visit.service.now_patience.postscreen_command_time_limit
        self._deadline = visit.stream.loop.time() + patience
        while True:
            end = self.ahead.find(b"\n", 0, limit + 2)
            if end >= 0:
                break
            if len(self.ahead) >= limit + 2:
                visit.log.info(f"COMMAND LENGTH LIMIT from {visit.where_from} after {self.where}")
                self.too_much()
            await self.read()
        line = self.ahead[:end]
        self.ahead = self.ahead[end + 1 :]
        bare = not line.endswith(b"\r")
        return line if bare else line[:-1], bare

    async def read(self) -> None:
        """More bytes. Raises Dropped when the command's time is over, HungUp at the end."""
        visit = self.visit
        stream = visit.stream
        try:
            data = await stream.read(max(self._deadline - stream.loop.time(), 0.001))
        except StreamTimeout:
            visit.log.info(f"COMMAND TIME LIMIT from {visit.where_from} after {self.where}")
            text = f"{visit.service.settings.myhostname} Error: timeout exceeded"
            raise Dropped(Reply(421, "4.4.2", text)) from None
        except StreamClosed:
            raise HungUp from None
        if not data:
            raise HungUp
        self.ahead += data

    def too_much(self) -> None:
        """Raises Dropped."""
        raise Dropped(Reply(421, "", TOO_MUCH.format(self.visit.service.settings.myhostname)))

    async def say(self, reply: Reply) -> None:
        """Answer."""
        await self.visit.send(reply)
