"""One mail transaction of a session: from MAIL to the end of data, or to RSET.

Standards: RFC 5321 section 3.3.
"""

from dataclasses import dataclass, field

from posthouse.envelope.envelope import Recipient
from posthouse.session.smtp.seams import DoorTransaction, FilterTransaction
from posthouse.wire.smtp.command import MailCommand
from posthouse.wire.smtp.data import ChunkReader


class ChunkedContent:
    """Content that comes in chunks."""

    __slots__ = ("bytes", "reader")

    def __init__(self) -> None:
        self.reader = ChunkReader()
        self.bytes = 0
        """Bytes as the client counts them."""


@dataclass(slots=True)
class Transaction:
    """What has been said so far."""

    command: MailCommand
    intake: DoorTransaction | None = None
    """Begun with the first accepted recipient: its queue id is in the log lines from then on."""
    recipients: list[Recipient] = field(default_factory=list)
    last_recipient: str = ""
    """The recipient that log lines name: the last one accepted, while it is the only one."""
    trying: str = ""
    """The recipient that is being judged."""
    overshoot: int = 0
    """Recipients past smtpd_recipient_limit that were refused without counting as errors."""
    size: int = 0
    """Bytes of content so far."""
    oversize: bool = False
    mail: str = ""
    """MAIL's argument as the client gave it, for a filter before the queue."""
    proxy: FilterTransaction | None = None
    """The intake when it is a filter before the queue."""
    chunks: ChunkedContent | None = None
    """BDAT's, or None while there was none."""

    @property
    def queue_id(self) -> str:
        """The queue id, or "" before there is one."""
        return "" if self.intake is None else self.intake.queue_id

    def rollback(self) -> None:
        """Forget it."""
        if self.intake is not None:
            self.intake.abort()
            self.intake = self.proxy = None
