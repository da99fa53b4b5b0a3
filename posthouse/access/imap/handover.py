"""The hand-over of a connection at login: to another part of this process, or to a user's child.

Whoever knows the password does not answer the successful LOGIN or AUTHENTICATE: whoever opens the
account does, with the command's tag, for only he knows whether there is a mailbox to be logged in to.

Over a socket the hand-over is one line in front of the client's own bytes (those that were pipelined
behind the login come first); from then on both sides are the client's plain dialogue:

    IMAP SP login SP tag SP verb SP client-name SP client-address SP number CRLF

Each word is percent-encoded. The child answers `tag OK [CAPABILITY …] Logged in`, or `tag NO …` and BYE.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote

# Octets of the line; a login has at most some hundreds.
LINE_LIMIT = 4096

PREAUTHENTICATED = "PREAUTH"
"""The verb where no command logged in, as the kernel knows the client of a local socket (see local.py). The tag is "*",
and the answer is the greeting."""


@dataclass(frozen=True, slots=True)
class Handover:
    """Who logged in, and which command waits for its answer."""

    login: str
    tag: str
    verb: str
    """LOGIN, AUTHENTICATE or PREAUTH."""
    client_name: str
    client_address: str
    number: int
    """The session's number in the log."""

    def __bytes__(self) -> bytes:
        words = (self.login, self.tag, self.verb, self.client_name, self.client_address, str(self.number))
        return ("IMAP " + " ".join(quote(word, safe="@.:[]-+", errors="surrogateescape") or "%" for word in words)
                + "\r\n").encode("ascii")  # fmt: skip

    @property
    def namaddr(self) -> str:
        """The client as log lines have it."""
        return f"{self.client_name}[{self.client_address}]"


def parse_handover(line: bytes) -> Handover | None:
    """The line with or without its end; None for anything else."""
    try:
        words = line.decode("ascii").split()
    except UnicodeDecodeError:
        return None
    if len(words) != 7 or words[0] != "IMAP" or not words[6].isdecimal() or len(words[6]) > 18:
        return None
    login, tag, verb, name, address = (
        unquote("" if word == "%" else word, errors="surrogateescape") for word in words[1:6]
    )
    return Handover(login, tag, verb, name, address, int(words[6]))
