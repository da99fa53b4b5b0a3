"""How a connection to postscreen ends before any SMTP server sees it."""

from posthouse.envelope.verdict import Evidence
from posthouse.wire.smtp.reply import Reply


class Dropped(Exception):
    """The client hears a last reply."""

    def __init__(self, reply: Reply, evidence: tuple[Evidence, ...] = ()) -> None:
        super().__init__(reply)
        self.reply = reply
        self.evidence = evidence


class HungUp(Exception):
    """The client is gone."""
