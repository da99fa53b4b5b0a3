"""SMTP dialogue, server side, without I/O: command lines, and the order of commands.

Bytes go in through receive(), command lines come out of next_line(), and refusal() says
whether a verb may come now. The caller owns sockets, clocks and policy, tells each step that
succeeded by advance(), and takes the bytes of content by take().

Standards: RFC 5321 sections 3.3, 4.1.4 and 4.3.2; RFC 2920 (PIPELINING); RFC 3030 section 2.
"""

from enum import Enum

from posthouse.wire.smtp.reply import Reply


class State(Enum):
    """Where a session stands."""

    READY = "ready"
    """No transaction."""
    MAIL = "mail"
    """A sender, no recipient yet."""
    TRIED = "tried"
    """A sender, and recipients none of which was accepted."""
    RCPT = "rcpt"
    """A sender and recipients."""
    CHUNKS = "chunks"
    """Chunks have come; more, or RSET, must follow."""
    SPOILED = "spoiled"
    """A chunk was refused: chunks are discarded until RSET, HELO or EHLO (RFC 3030 section 2)."""

    __hash__ = object.__hash__  # Enum's own is a function in Python, called at every look into the tables below


NEED_MAIL = Reply(503, "5.5.1", "Error: need MAIL command")
NEED_RCPT = Reply(503, "5.5.1", "Error: need RCPT command")
NO_RECIPIENTS = Reply(554, "5.5.1", "Error: no valid recipients")
NESTED = Reply(503, "5.5.1", "Error: nested MAIL command")
IN_TRANSACTION = Reply(503, "5.5.1", "Error: MAIL transaction in progress")
ETRN_IN_TRANSACTION = Reply(503, "", "Error: MAIL transaction in progress")
MAIL_AFTER_BDAT = Reply(503, "5.5.1", "Error: MAIL after BDAT")
RCPT_AFTER_BDAT = Reply(503, "5.5.1", "Error: RCPT after BDAT")
DATA_AFTER_BDAT = Reply(503, "5.5.1", "Error: DATA after BDAT")

# RFC 5321 section 4.1.4: the order of commands. A verb that is missing here may come at any time.
REFUSED: dict[State, dict[str, Reply]] = {
    State.READY: {"RCPT": NEED_MAIL, "DATA": NEED_RCPT, "BDAT": NEED_RCPT},
    State.MAIL: {
        "MAIL": NESTED,
        "DATA": NO_RECIPIENTS,
        "BDAT": NO_RECIPIENTS,
        "AUTH": IN_TRANSACTION,
        "ETRN": ETRN_IN_TRANSACTION,
    },
    State.TRIED: {
        "MAIL": NESTED,
        "DATA": NO_RECIPIENTS,
        "BDAT": NO_RECIPIENTS,
        "AUTH": IN_TRANSACTION,
        "ETRN": ETRN_IN_TRANSACTION,
    },
    State.RCPT: {"MAIL": NESTED, "AUTH": IN_TRANSACTION, "ETRN": ETRN_IN_TRANSACTION},
    State.CHUNKS: {
        "MAIL": NESTED,
        "RCPT": RCPT_AFTER_BDAT,
        "DATA": DATA_AFTER_BDAT,
        "AUTH": IN_TRANSACTION,
        "ETRN": ETRN_IN_TRANSACTION,
    },
    State.SPOILED: {"MAIL": MAIL_AFTER_BDAT, "RCPT": RCPT_AFTER_BDAT, "DATA": DATA_AFTER_BDAT},
}

# What an accepted verb leads to. HELO, EHLO and RSET always lead to READY.
NEXT: dict[State, dict[str, State]] = {
    State.READY: {"MAIL": State.MAIL},
    State.MAIL: {"RCPT": State.RCPT},
    State.TRIED: {"RCPT": State.RCPT},
    State.RCPT: {"RCPT": State.RCPT, "DATA": State.READY, "BDAT": State.CHUNKS},
    State.CHUNKS: {"BDAT": State.CHUNKS},
    State.SPOILED: {},
}


class Dialogue:
    """One session's bytes and its place in the order of commands."""

    __slots__ = ("_buffer", "_limit", "_skipping", "state", "too_long")

    def __init__(self, line_length_limit: int) -> None:
        self._buffer = b""
        self._limit = line_length_limit
        self._skipping = False
        self.state = State.READY
        self.too_long = False
        """Whether the line that was just given out is only the beginning of one that was too long."""

    def receive(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer = self._buffer + data if self._buffer else data

    def widen(self, line_length_limit: int) -> None:
        """Another limit for the lines to come: AUTH responses may be longer than commands (RFC 4954 section 4)."""
        self._limit = line_length_limit

    def next_line(self) -> bytes | None:
        """The next command line without its end, cut at line_length_limit; None when none is whole yet."""
        buffer = self._buffer
        if self._skipping:
            end = buffer.find(b"\n")
            if end < 0:
                self._buffer = b""
                return None
            self._buffer = buffer = buffer[end + 1 :]
            self._skipping = False
        end = buffer.find(b"\n", 0, self._limit + 2)
        if end < 0:
            self.too_long = len(buffer) >= self._limit + 2
            if not self.too_long:
                return None
            self._skipping = True
            self._buffer = buffer[self._limit :]
            return buffer[: self._limit]
        self.too_long = False
        self._buffer = buffer[end + 1 :]
        return buffer[: end - 1] if end and buffer[end - 1] == 13 else buffer[:end]

    @property
    def pending(self) -> bytes:
        """Bytes that came behind the line given out last."""
        return b"" if self._skipping else self._buffer

    def take(self, limit: int | None = None) -> bytes:
        """Bytes of content out of what has been received: all, or at most `limit`."""
        if limit is None:
            taken, self._buffer = self._buffer, b""
        else:
            taken, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return taken

    def refusal(self, verb: str) -> Reply | None:
        """Why a verb may not come now, or None."""
        return REFUSED[self.state].get(verb)

    def advance(self, verb: str) -> None:
        """A verb succeeded."""
        self.state = NEXT[self.state].get(verb, self.state)

    def recipient_refused(self) -> None:
        """A recipient was refused: without any, DATA has another answer than without trying."""
        if self.state is State.MAIL:
            self.state = State.TRIED

    def spoil(self) -> None:
        """A chunk was refused."""
        self.state = State.SPOILED

    def reset(self) -> None:
        """The transaction is over."""
        self.state = State.READY
