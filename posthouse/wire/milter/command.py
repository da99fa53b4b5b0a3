"""What a mail server tells a milter, as bytes and back.

    O  options        version, actions, protocol        D  macros       letter, then name and value in turn
    C  connect        name, family [port address]       H  HELO         name
    M  MAIL           path, ESMTP arguments             R  RCPT         path, ESMTP arguments
    T  DATA           (version 4)                       U  unknown      line (version 3)
    L  header field   name, value                       N  end of header
    B  body           bytes                             E  end of body
    A  abort          (never answered)                  Q  quit         (never answered)
    K  quit, and a new connection begins (version 6, never answered)

Standards: none; libmilter's mfdef.h (SMFIC_…) and what Postfix 3.7 sends.
"""

from dataclasses import dataclass

from posthouse.wire.milter.packet import Fields, MilterProtocolError, number, packet, text

OPTIONS, MACROS, CONNECT, HELO, MAIL, RCPT = b"O", b"D", b"C", b"H", b"M", b"R"
DATA, UNKNOWN, HEADER, END_OF_HEADERS, BODY, END_OF_BODY = b"T", b"U", b"L", b"N", b"B", b"E"
ABORT, QUIT, QUIT_NEW_CONNECTION = b"A", b"Q", b"K"

NAMES = {
    OPTIONS: "SMFIC_OPTNEG",
    CONNECT: "SMFIC_CONNECT",
    HELO: "SMFIC_HELO",
    MAIL: "SMFIC_MAIL",
    RCPT: "SMFIC_RCPT",
    DATA: "SMFIC_DATA",
    UNKNOWN: "SMFIC_UNKNOWN",
    HEADER: "SMFIC_HEADER",
    END_OF_HEADERS: "SMFIC_EOH",
    BODY: "SMFIC_BODY",
    END_OF_BODY: "SMFIC_BODYEOB",
}
"""libmilter's names of what is answered."""

CONTENT = (HEADER, END_OF_HEADERS, BODY, END_OF_BODY)
"""What may take a milter as long as a message is."""

BODY_CHUNK = 65535
"""Bytes of a body that go in one packet (MILTER_CHUNK_SIZE)."""


@dataclass(frozen=True, slots=True)
class Options:
    """The offer, or the milter's choice."""

    version: int
    actions: int
    protocol: int
    macros: tuple[tuple[int, bytes], ...] = ()
    """Of the choice: (stage, names parted by blanks) where the milter asks for macros of its own (SETSYMLIST)."""

    def __bytes__(self) -> bytes:
        data = number(self.version) + number(self.actions) + number(self.protocol)
        return packet(OPTIONS, data + b"".join([number(stage) + text(names) for stage, names in self.macros]))


def parse_options(data: bytes) -> Options:
    """Undoes bytes(options). Raises MilterProtocolError."""
    fields = Fields(data)
    version, actions, protocol = fields.number(), fields.number(), fields.number()
    macros = []
    while fields.left:
        macros.append((fields.number(), fields.text()))
    return Options(version, actions, protocol, tuple(macros))


@dataclass(frozen=True, slots=True)
class Peer:
    """Who connected: family "4", "6", "L" (a Unix socket) or "U" (not known)."""

    name: bytes
    family: bytes
    port: int = 0
    address: bytes = b""

    def __bytes__(self) -> bytes:
        data = text(self.name) + self.family
        if self.family != b"U":
            data += self.port.to_bytes(2) + text(self.address)
        return packet(CONNECT, data)


def parse_peer(data: bytes) -> Peer:
    """Undoes bytes(peer). Raises MilterProtocolError."""
    fields = Fields(data)
    name, rest = fields.text(), fields.rest()
    family = rest[:1]
    if family == b"U" and len(rest) == 1:
        return Peer(name, family)
    if family not in (b"4", b"6", b"L") or len(rest) < 4 or rest.find(b"\0", 3) != len(rest) - 1:
        raise MilterProtocolError("malformed connect")
    return Peer(name, family, int.from_bytes(rest[1:3]), rest[3:-1])


def strings(letter: bytes, *words: bytes) -> bytes:
    """HELO, MAIL, RCPT, a header field, an unknown command: strings."""
    return packet(letter, text(*words))


def macros(letter: bytes, values: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The macros of the command that comes next."""
    return packet(MACROS, letter + text(*[word for pair in values for word in pair]))


def parse_macros(data: bytes) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """Undoes macros(): (letter, pairs). Raises MilterProtocolError."""
    words = Fields(data[1:]).texts()
    if len(data) < 1 or len(words) % 2:
        raise MilterProtocolError("malformed macros")
    return data[:1], tuple(zip(words[::2], words[1::2], strict=True))
