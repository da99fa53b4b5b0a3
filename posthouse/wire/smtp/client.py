"""One mail transaction, client side, without I/O: SMTP and LMTP.

    dialogue = Transaction(mail, rcpts, pipelining=True)
    while not dialogue.done:
        write(dialogue.output())               # commands that may go out now
        if dialogue.content_wanted:            # 354 came
            write(content, dot-stuffed); write(dialogue.end_content())
        dialogue.receive(reply)                # replies, in order

With PIPELINING, MAIL, every RCPT and DATA leave together (RFC 2920 section 3.1). What the
server then says to each is kept; when no recipient was accepted but DATA was, the content is
empty and its reply does not matter (RFC 2920 section 3.1 says the client must do just that).
After the dot an LMTP server gives one reply for each accepted recipient (RFC 2033 section 4.2).

Standards: RFC 5321 sections 3.3 and 4.1.4; RFC 2920; RFC 2033.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum

from posthouse.wire.smtp.reply import Reply


class Step(Enum):
    """What a reply answers. Value: Postfix's words for it, "in reply to VALUE" and PHASE below."""

    MAIL = "MAIL FROM command"
    RCPT = "RCPT TO command"
    DATA = "DATA command"
    DOT = "end of DATA command"
    RSET = "final RSET command"

    __hash__ = object.__hash__  # Enum's own is a function in Python, called at every look into a table of steps


WHILE: dict[Step, str] = {
    Step.MAIL: "sending MAIL FROM",
    Step.RCPT: "sending RCPT TO",
    Step.DATA: "sending DATA command",
    Step.DOT: "sending end of data -- message may be sent more than once",
    Step.RSET: "sending final RSET",
}
"""What was being done when the connection broke: "lost connection with H while VALUE"."""


class Transaction:
    """MAIL to the reply after the dot (or, for a probe, to the reply to RSET)."""

    __slots__ = (
        "_accepted",
        "_awaited",
        "_lmtp",
        "_mail",
        "_pipelining",
        "_probe",
        "_rcpts",
        "_unsent",
        "content_wanted",
        "data_reply",
        "done",
        "dotted",
        "final_replies",
        "mail_reply",
        "rcpt_replies",
        "started",
    )

    def __init__(
        self, mail: bytes, rcpts: Sequence[bytes], *, pipelining: bool, lmtp: bool = False, probe: bool = False
    ) -> None:
        self._mail = mail
        self._rcpts = rcpts
        self._pipelining = pipelining
        self._lmtp = lmtp
        self._probe = probe
        self._unsent: deque[tuple[Step, int, bytes]] = deque([(Step.MAIL, 0, mail)])
        self._unsent.extend((Step.RCPT, n, line) for n, line in enumerate(rcpts))
        self._unsent.append((Step.RSET, 0, b"RSET\r\n") if probe else (Step.DATA, 0, b"DATA\r\n"))
        self._awaited: deque[tuple[Step, int]] = deque()
        self._accepted: list[int] = []
        self.mail_reply: Reply | None = None
        self.rcpt_replies: list[Reply | None] = [None] * len(rcpts)
        self.data_reply: Reply | None = None
        self.final_replies: dict[int, Reply] = {}
        """By recipient number. With SMTP one reply stands for all accepted recipients."""
        self.content_wanted = False
        self.done = False
        self.dotted = False
        """Whether the final dot was sent: its reply ends the transaction on the server, too."""
        self.started = False
        """Whether any reply has come: until then a kept connection may just have been closed by its other end."""

    @property
    def step(self) -> Step:
        """What the next reply answers."""
        return self._awaited[0][0] if self._awaited else Step.DOT

    @property
    def accepted(self) -> list[int]:
        """Numbers of the recipients accepted so far."""
        return self._accepted

    def output(self) -> bytes:
        """Commands to send now: all of them with PIPELINING, else the next one once nothing is awaited."""
        if not self._unsent:
            return b""
        if self._pipelining:
            out = b"".join([line for _, _, line in self._unsent])
            self._awaited.extend([(step, number) for step, number, _ in self._unsent])
            self._unsent.clear()
            return out
        if self._awaited or self.content_wanted:
            return b""
        step, number, line = self._unsent.popleft()
        self._awaited.append((step, number))
        return line

    def receive(self, reply: Reply) -> None:
        """Take the next reply."""
        assert self._awaited, "a reply to no command"
        self.started = True
        step, number = self._awaited.popleft()
        good = reply.code // 100 == 2
        if step is Step.MAIL:
            self.mail_reply = reply
            if not good:
                self._skip_unsent()
        elif step is Step.RCPT:
            self.rcpt_replies[number] = reply
            if good:
                self._accepted.append(number)
            elif number == len(self._rcpts) - 1 and not self._accepted:
                self._skip_unsent()
        elif step is Step.DATA:
            self.data_reply = reply
            if reply.code // 100 == 3:
                self.content_wanted = True
                return
            self.done = True
        elif step is Step.DOT:
            if self._lmtp:
                self.final_replies[number] = reply
            else:
                for accepted in self._accepted:
                    self.final_replies[accepted] = reply
        if not self._awaited and not self._unsent and not self.content_wanted:
            self.done = True

    @property
    def empty(self) -> bool:
        """Whether the server wants content though nobody will get it: send the dot alone."""
        mail = self.mail_reply
        return self.content_wanted and (not self._accepted or mail is None or mail.code // 100 != 2)

    @property
    def unanswered(self) -> bool:
        """Whether no reply will come to what was sent."""
        return not self._awaited

    def end_content(self) -> bytes:
        """The final dot, after content that ended in CRLF (or after none)."""
        assert self.content_wanted, "content before 354"
        self.content_wanted = False
        self.dotted = True
        if self._lmtp:
            self._awaited.extend([(Step.DOT, number) for number in self._accepted])
            self.done = not self._awaited  # RFC 2033 section 4.2: a reply for each recipient, so none for nobody
        else:
            self._awaited.append((Step.DOT, 0))
        return b".\r\n"

    def _skip_unsent(self) -> None:
        # Without PIPELINING nothing more is said of a message that was refused; with it, all is said already.
        if self._unsent:
            self._unsent.clear()
            if self._probe:
                self._unsent.append((Step.RSET, 0, b"RSET\r\n"))
