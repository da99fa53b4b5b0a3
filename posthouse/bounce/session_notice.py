"""What postmaster is told of an SMTP session in which something went wrong: what both sides said.

notify_classes says which errors are worth a letter: policy (the client was refused), protocol (it did not keep to the
rules), bounce (mail that cannot be delivered), resource and software (our own trouble). Standards: none; notices of
Postfix's smtpd(8).
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from posthouse.bounce.folding import fold
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.host.log import ProcessLog
from posthouse.intake.stamp import DateStamp
from posthouse.intake.transaction import Accepted, Handling, Intake
from posthouse.message.received import received_local

LINE_LENGTH = 78
"""Characters of a line of the dialogue, before it is set in by one."""


@dataclass(frozen=True, slots=True)
class SessionNoticeSettings:
    """The parameters of such notices."""

    myhostname: str = "localhost"
    mail_name: str = "Postfix"
    notify_classes: tuple[str, ...] = ("resource", "software")
    error_notice_recipient: str = "postmaster"
    double_bounce_sender: str = "double-bounce"


CLASSES = frozenset({"policy", "protocol", "bounce", "resource", "software"})
"""Of notify_classes: those that a session can have. "data" is for content that no session of ours complains of."""


def open_session_notices(configuration: Configuration, intake: Intake, log: ProcessLog) -> "SessionNotices | None":
    """None where notify_classes wants nothing of sessions."""
    settings = read_settings(SessionNoticeSettings, configuration)
    return None if CLASSES.isdisjoint(settings.notify_classes) else SessionNotices(settings, intake, log)


class SessionNotices:
    """Writes them and puts them into the queue."""

    def __init__(
        self,
        settings: SessionNoticeSettings,
        intake: Intake,
        log: ProcessLog,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._classes = frozenset(settings.notify_classes)
        self._intake = intake
        self._log = log
        self._clock = clock
        self._date = DateStamp()

    def wanted(self, errors: Collection[str]) -> bool:
        """Whether one of these classes of errors is to be told."""
        return not self._classes.isdisjoint(errors)

    async def tell(
        self,
        peer: str,
        said: Sequence[tuple[str, str]],
        reason: str = "",
        *,
        party: str = "SMTP server",
        opening: str = "",
    ) -> None:
        """`said`: pairs of "In" or "Out" and a line; `reason`: why the session broke off, or ""; `party`: which side
        we were."""
        settings = self._settings
        transaction = self._intake.begin()
        date = self._date(self._clock())
        lines = [
            f"Date: {date}",
            f"From: Mail Delivery System <MAILER-DAEMON@{settings.myhostname}>",
            f"To: Postmaster <{settings.error_notice_recipient}>",
            f"Subject: {settings.mail_name} {party}: errors from {peer}",
            "",
            *([opening, ""] if opening else []),
            "Transcript of session follows.",
            "",
            *(" " + fold(f"{side + ':':5}{line}", LINE_LENGTH).replace("\r\n", "\r\n ") for side, line in said),
            "",
            *([f"Session aborted, reason: {reason}"] if reason else []),
            "",
            "For other details, see the local mail logfile",
            "",
        ]
        received = received_local(
            hostname=settings.myhostname, mail_name=settings.mail_name, queue_id=transaction.queue_id, date=date
        )
        sender = f"{settings.double_bounce_sender}@{settings.myhostname}"
        recipient = Recipient(settings.error_notice_recipient, settings.error_notice_recipient)
        try:
            await transaction.write("\r\n".join(lines).encode("utf-8", "surrogateescape"))
            answer = await transaction.commit(Envelope(sender, (recipient,), body="8BITMIME"), received, Handling())
        except BaseException:
            transaction.abort()
            raise
        if not isinstance(answer, Accepted):
            self._log.warning(f"postmaster notify: {answer.text}")
