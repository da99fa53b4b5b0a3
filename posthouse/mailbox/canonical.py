"""Line ends: any bytes to canonical form (CRLF) and back to LF, whole or while they stream.

Bare CR and bare LF are line ends too: what leaves here has none. So a file kept with LF gives
back exactly the octets that were put in.

Standards: RFC 5322 section 2.1.
"""

import re

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def canonical(data: bytes) -> bytes:
    """Every line end as CRLF. Bytes that are so already come back themselves."""
    ends = data.count(b"\r\n")
    if data.count(b"\n") == ends and data.count(b"\r") == ends:
        return data
    return _BARE.sub(b"\r\n", data)


def to_lf(data: bytes) -> bytes:
    """Canonical bytes with LF for CRLF. Chunks must not be cut inside a CRLF."""
    return data.replace(b"\r\n", b"\n")


class Canonicaliser:
    """canonical() for chunks. A CR that ends a chunk waits for the next."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting = False

    def feed(self, chunk: bytes) -> bytes:
        """What can be said of the bytes so far; never ends inside a CRLF."""
        if self._waiting:
            chunk = b"\r" + chunk
        self._waiting = chunk.endswith(b"\r")
        if self._waiting:
            chunk = chunk[:-1]
        return canonical(chunk)

    def end(self) -> bytes:
        """The rest."""
        rest = b"\r\n" if self._waiting else b""
        self._waiting = False
        return rest


class HeaderEnd:
    """Finds where the header of a streamed canonical message ends."""

    __slots__ = ("_seen", "_tail", "size")

    def __init__(self) -> None:
        self.size: int | None = None
        """Octets up to and with the empty line; None while it has not come."""
        self._seen = 0
        self._tail = b"\r\n"  # a message may begin with its empty line

    def feed(self, chunk: bytes) -> None:
        """Look through the next canonical bytes."""
        if self.size is not None:
            return
        text = self._tail + chunk
        found = text.find(b"\r\n\r\n")
        if found >= 0:
            self.size = self._seen - len(self._tail) + found + 4
            return
        self._seen += len(chunk)
        self._tail = text[-3:]


def header_end(data: bytes) -> int:
    """Where the header of a canonical message ends: after the empty line, or at the end when there is none."""
    if data.startswith(b"\r\n"):
        return 2
    found = data.find(b"\r\n\r\n")
    return len(data) if found < 0 else found + 4
