"""sendmail -bs: SMTP on standard input, each message handed over as a submission of the caller's.

There is no relay control, because there is nobody to be kept out: whoever runs the command
could submit the same message without -bs. Extensions that need the whole server (STARTTLS,
AUTH, ETRN, CHUNKING) are not offered.

Standards: RFC 5321 sections 3.3 and 4.1; RFC 3461 (DSN); RFC 2920 (PIPELINING).
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from posthouse.envelope.envelope import Recipient
from posthouse.wire.intake import NotTaken, Submission, Taken
from posthouse.wire.smtp.command import BadNotify, BadPath, MailCommand, RcptCommand, parse_mail, parse_rcpt
from posthouse.wire.smtp.data import DataReader
from posthouse.wire.smtp.dialogue import Dialogue
from posthouse.wire.smtp.ehlo import offer
from posthouse.wire.smtp.reply import Reply

PIECE = 65536
"""Bytes read from standard input at a time."""
OK = Reply(250, "2.0.0", "Ok")
UNKNOWN = Reply(500, "5.5.2", "Error: command not recognized")
TOO_BIG = Reply(552, "5.3.4", "Error: message file too big")
TOO_MANY = Reply(452, "4.5.3", "Error: too many recipients")

HandOver = Callable[[Submission, Iterator[bytes]], Taken | NotTaken]
"""Makes a message durable. Raises OSError."""


@dataclass(frozen=True, slots=True)
class SmtpInputSettings:
    """What the dialogue reads."""

    myhostname: str
    smtpd_banner: str
    message_size_limit: int
    smtpd_recipient_limit: int
    line_length_limit: int
    disable_vrfy_command: bool
    smtputf8_enable: bool


class SmtpInput:
    """The dialogue."""

    def __init__(self, settings: SmtpInputSettings, full_name: str, hand_over: HandOver) -> None:
        self._settings = settings
        self._full_name = full_name
        self._hand_over = hand_over
        self._dialogue = Dialogue(settings.line_length_limit)
        self._command: MailCommand | None = None
        self._recipients: list[Recipient] = []

    def run(self) -> int:
        """Until QUIT or the end of input; returns the exit status."""
        self._say(f"220 {self._settings.smtpd_banner}\r\n".encode())
        while True:
            line = self._dialogue.next_line()
            if line is None:
                data = os.read(0, PIECE)
                if not data:
                    return 0
                self._dialogue.receive(data)
                continue
            verb, _, argument = line.decode("utf-8", "surrogateescape").strip().partition(" ")
            verb = verb.upper()
            if verb == "QUIT":
                self._say(bytes(Reply(221, "2.0.0", "Bye")))
                return 0
            reply = self._dialogue.refusal(verb) or self._answer(verb, argument.strip())
            self._say(reply if isinstance(reply, bytes) else bytes(reply))

    def _say(self, reply: bytes) -> None:
        sys.stdout.buffer.write(reply)
        sys.stdout.buffer.flush()

    def _answer(self, verb: str, argument: str) -> bytes | Reply:
        settings = self._settings
        if verb in ("EHLO", "HELO"):
            if not argument:
                return Reply(501, "", f"Syntax: {verb} hostname")
            self._reset()
            if verb == "HELO":
                return Reply(250, "", settings.myhostname)
            return offer(
                settings.myhostname,
                size=settings.message_size_limit,
                vrfy=not settings.disable_vrfy_command,
                etrn=False,
                starttls=False,
                mechanisms=(),
                broken_clients=False,
                smtputf8=settings.smtputf8_enable,
                discard=frozenset({"CHUNKING"}),
            )
        if verb == "MAIL":
            return self._mail(argument)
        if verb == "RCPT":
            return self._rcpt(argument)
        if verb == "DATA":
            return self._data()
        if verb == "RSET":
            self._reset()
            return OK
        if verb == "NOOP":
            return OK
        if verb == "VRFY" and not settings.disable_vrfy_command:
            return Reply(252, "2.0.0", argument)
        return UNKNOWN

    def _reset(self) -> None:
        self._command, self._recipients = None, []
        self._dialogue.reset()

    def _mail(self, argument: str) -> Reply:
        command = parse_mail(argument, smtputf8=self._settings.smtputf8_enable)
        if not isinstance(command, MailCommand):
            return command.reply if isinstance(command, BadPath) else command
        limit = self._settings.message_size_limit
        if limit and command.size > limit:
            return Reply(552, "5.3.4", "Message size exceeds fixed limit")
        self._command = command
        self._dialogue.advance("MAIL")
        return Reply(250, "2.1.0", "Ok")

    def _rcpt(self, argument: str) -> Reply:
        if len(self._recipients) >= self._settings.smtpd_recipient_limit:
            return TOO_MANY
        command = parse_rcpt(argument)
        if not isinstance(command, RcptCommand):
            self._dialogue.recipient_refused()
            return command.reply if isinstance(command, BadPath | BadNotify) else command
        self._recipients.append(Recipient(command.recipient, notify=command.notify, orcpt=command.orcpt))
        self._dialogue.advance("RCPT")
        return Reply(250, "2.1.5", "Ok")

    def _data(self) -> Reply:
        command = self._command
        assert command is not None
        submission = Submission(
            sender=command.sender,
            recipients=tuple(self._recipients),
            full_name=self._full_name,
            body=command.body,
            ret=command.ret,
            envid=command.envid,
            smtputf8=command.smtputf8,
        )
        self._say(bytes(Reply(354, "", "End data with <CR><LF>.<CR><LF>")))
        content = _Content(self._dialogue, self._settings.message_size_limit)
        try:
            result = self._hand_over(submission, content.pieces())
        except _TooBig:
            result = NotTaken(TOO_BIG.code, TOO_BIG.status, TOO_BIG.text)
        except OSError:
            result = NotTaken(451, "4.3.0", "Error: queue file write error")
        content.skip()
        self._reset()
        if isinstance(result, NotTaken):
            return Reply(result.code, result.status, result.text)
        return Reply(250, "2.0.0", f"Ok: queued as {result.queue_id}")


class _TooBig(Exception):
    """The content exceeds message_size_limit."""


class _Content:
    """What follows DATA, up to its end."""

    def __init__(self, dialogue: Dialogue, limit: int) -> None:
        self._dialogue = dialogue
        self._limit = limit
        self._reader = DataReader()
        self._size = 0

    def pieces(self) -> Iterator[bytes]:
        """The content. Raises _TooBig, and OSError when the input ends before the content does."""
        while not self._reader.ended:
            piece = self._next()
            self._size += len(piece)
            if self._limit and self._size > self._limit:
                raise _TooBig
            if piece:
                yield piece
        self._dialogue.receive(self._reader.leftover)

    def skip(self) -> None:
        """Read what is left of a content that was refused."""
        if self._over():
            return
        while not self._over():
            self._next()
        self._dialogue.receive(self._reader.leftover)

    def _over(self) -> bool:
        return self._reader.ended

    def _next(self) -> bytes:
        data = self._dialogue.take() or os.read(0, PIECE)
        if not data:
            raise OSError("end of input before the end of data")
        return self._reader.receive(data)
