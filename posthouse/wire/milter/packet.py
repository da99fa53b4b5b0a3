"""Packets of the milter protocol: four bytes of length, a letter, and data.

    packet = length(4, network order) letter(1) data(length - 1)

The letter says what the data is: commands go from the mail server to the milter (command.py),
answers come back (answer.py). Text is NUL-terminated, numbers are unsigned and in network order.

Standards: none was ever written; this follows Sendmail's libmilter (mfdef.h) and what Postfix 3.7 sends.
"""

import struct

PACKET_LIMIT = (1 << 20) + 64
"""Bytes of one packet: libmilter's largest body chunk (SMFIP_MDS_1M) and room for its head. More is no milter."""

_LENGTH = struct.Struct("!I")
_NUMBER = struct.Struct("!I")


class MilterProtocolError(Exception):
    """The other side said something that the protocol does not know; the text is for the log."""


def packet(letter: bytes, data: bytes = b"") -> bytes:
    """One packet."""
    return _LENGTH.pack(len(data) + 1) + letter + data


def number(value: int) -> bytes:
    """32 bits."""
    return _NUMBER.pack(value)


def text(*strings: bytes) -> bytes:
    """Strings, each with its NUL. One that holds NULs ends at the first, as a C string does."""
    return b"".join([string.partition(b"\0")[0] + b"\0" for string in strings])


class PacketReader:
    """Takes bytes in any cut, gives packets."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = PACKET_LIMIT) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def receive_data(self, data: bytes) -> None:
        """Bytes came."""
        self._buffer += data

    def next_packet(self) -> tuple[bytes, bytes] | None:
        """(letter, data), or None until more bytes come. Raises MilterProtocolError."""
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        (length,) = _LENGTH.unpack_from(buffer)
        if not length:
            raise MilterProtocolError("bad packet length: 0")
        if length > self._limit:
            raise MilterProtocolError(f"unreasonable packet length: {length} > {self._limit}")
        if len(buffer) < 4 + length:
            return None
        letter, data = bytes(buffer[4:5]), bytes(buffer[5 : 4 + length])
        del buffer[: 4 + length]
        return letter, data


class Fields:
    """Reads a packet's data from its beginning. Every method raises MilterProtocolError when there is too little."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self._at

    def number(self) -> int:
        """32 bits."""
        if self.left < 4:
            raise MilterProtocolError("input packet too short for network long")
        (value,) = _NUMBER.unpack_from(self._data, self._at)
        self._at += 4
        assert isinstance(value, int)
        return value

    def text(self) -> bytes:
        """A string and its NUL."""
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise MilterProtocolError("missing string null termination in input packet")
        found = self._data[self._at : end]
        self._at = end + 1
        return found

    def texts(self) -> tuple[bytes, ...]:
        """All strings that are left."""
        found = []
        while self.left:
            found.append(self.text())
        return tuple(found)

    def rest(self) -> bytes:
        """Everything that is left."""
        found = self._data[self._at :]
        self._at = len(self._data)
        return found
