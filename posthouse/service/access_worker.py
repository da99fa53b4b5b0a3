"""An access worker: imapd and pop3d listeners."""

from posthouse.service.channel import FATAL
from posthouse.service.child import Inheritance


def main(inheritance: Inheritance) -> int:
    """The access worker's process; returns its exit status."""
    inheritance.channel.send(FATAL + b"imapd and pop3d are missing so far")
    return 1
