"""What was said in a session and which classes of errors it had (notify_classes), for a notice to postmaster."""

from collections.abc import Iterator

from posthouse.wire.smtp.reply import Reply
from posthouse.wire.smtp.transcript_line import LINES_LIMIT, printable, without_secret

PROTOCOL, POLICY, BOUNCE, RESOURCE, SOFTWARE, DATA = "protocol", "policy", "bounce", "resource", "software", "data"


class Transcript:
    """Grows by one entry for each command and reply; the content of messages is no part of it."""

    __slots__ = ("_said", "errors")

    def __init__(self) -> None:
        self._said: list[str | bytes] = []
        self.errors: set[str] = set()

    def __len__(self) -> int:
        return len(self._said)

    def heard(self, command: str) -> None:
        """A line of the client's."""
        if len(self._said) < LINES_LIMIT:
            self._said.append(without_secret(command))

    def answered(self, replies: bytes) -> None:
        """One reply of ours or several."""
        if len(self._said) < LINES_LIMIT:
            self._said.append(replies)

    def clear(self) -> None:
        """Nothing of it is worth telling."""
        self._said.clear()

    def lines(self) -> Iterator[tuple[str, str]]:
        """ "In" or "Out", and a line."""
        for said in self._said:
            if isinstance(said, str):
                yield "In", printable(said)
            else:
                for line in said.decode("utf-8", "replace").splitlines():
                    yield "Out", printable(line)


def refusal_class(reply: Reply) -> str:
    """The class of a refusal by policy."""
    match reply.status[2:]:
        case "3.5" | "3.0" if reply.text.startswith("<"):
            return DATA  # a table that cannot be asked
        case "3.5" | "3.0":
            return SOFTWARE
        case "3.1":
            return RESOURCE
        case "1.1" | "1.6":
            return BOUNCE
    return POLICY


def content_class(reply: Reply) -> str:
    """The class of a refusal at the end of a message."""
    match reply.status[2:]:
        case "3.0" | "3.1":
            return RESOURCE
        case "3.4" | "4.6":
            return BOUNCE
        case "3.5":
            return SOFTWARE
    return POLICY
