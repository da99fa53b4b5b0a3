"""What a milter decided, other than to go on."""

from dataclasses import dataclass
from enum import Enum

from posthouse.envelope.verdict import Evidence

NOTHING = Evidence()


class Kind(Enum):
    """The classes of decisions."""

    HOLD = "milter-hold"
    DISCARD = "milter-discard"
    REPLY = "milter-reject"
    SHUTDOWN = "milter-shutdown"
    """421, and the connection ends."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, with its reason for the journal."""

    kind: Kind
    line: str = ""
    """Of a reply: "550 5.7.1 text", CRLF between the lines of a long one."""
    evidence: Evidence = NOTHING

    @property
    def code(self) -> int:
        """The reply's code; 0 of other kinds."""
        return int(self.line[:3]) if self.line else 0

    @property
    def parts(self) -> tuple[int, str, str]:
        """(code, status, text) of a reply; text lines parted by LF. A status is only told apart when every line has
        the same one."""
        lines = [line[4:] for line in self.line.split("\r\n")]
        statuses = {text.partition(" ")[0] for text in lines}
        status = statuses.pop()
        texts = [text.partition(" ")[2] for text in lines]
        if statuses or not is_status(status) or not all(texts):
            return self.code, "", "\n".join(lines)
        return self.code, status, "\n".join(texts)


def is_status(word: str) -> bool:
    """RFC 3463 section 2: class "." subject "." detail."""
    parts = word.split(".")
    return len(parts) == 3 and parts[0] in ("2", "4", "5") and all(p.isascii() and p.isdigit() for p in parts)


def well_formed(line: str) -> bool:
    """Whether a milter's reply is one: 4 or 5, two digits, a blank or a dash, a status of the same class or none."""
    code, mark, rest = line[:3], line[3:4], line[4:]
    if not (code.isascii() and code.isdigit() and code[0] in "45" and len(code) == 3 and mark in (" ", "-")):
        return False
    return not (is_status(rest.partition(" ")[0]) and rest[0] != code[0])
