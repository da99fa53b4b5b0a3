"""IMAP's ENVELOPE of a header: dates, subject, addresses, as found and not decoded.

    address-list = [ address ] *( "," [ address ] )
    address      = [ phrase ] "<" [ route ":" ] local-part "@" domain ">" / addr-spec / phrase ":" [ list ] ";"

A comment after a bare address is its name, as old programs write it. Numbers are bounded; any
bytes give an envelope, in linear time.

Standards: RFC 3501 section 7.4.2; RFC 5322 sections 3.4 and 4.4.
"""

import re
from dataclasses import dataclass

# Addresses of one field. The largest lists in headers have some thousands.
ADDRESS_LIMIT = 5_000
# Octets of a field that is tried with the pattern for one plain address, which takes the square of its spaces.
PLAIN_LIMIT = 500
# Octets of one field that are looked at.
FIELD_LIMIT = 1 << 20
COMMENT_DEPTH = 20

_FIELD = re.compile(
    rb"^(date|subject|from|sender|reply-to|to|cc|bcc|in-reply-to|message-id)[ \t]*:"
    rb"([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
# An address as nearly all are: a name of words or one quoted string, or none, and a mailbox without oddities.
_WORD = rb'[^\x00-\x20\x7f-\xff"<>,;:@()\[\]\\.]+'
_PLAIN = re.compile(
    rb"[ \t]*(?:(?:(?P<name>" + _WORD + rb"(?: " + _WORD + rb')*)|"(?P<quoted>[^"\\]*)")?[ \t]*(?P<angle><))?'
    rb"(?P<local>[A-Za-z0-9.+=_-]+)@(?P<domain>[A-Za-z0-9.-]+)(?(angle)>)[ \t]*"
)
_PIECE = re.compile(
    rb'(?P<space>[ \t\r\n]+)|(?P<quoted>"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z))|(?P<literal>\[[^\]\\]*(?:\\.[^\]\\]*)*\]?)'
    rb'|(?P<special>[<>,;:@().])|(?P<atom>[^ \t\r\n"<>,;:@()\[.]+)',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class MessageAddress:
    """RFC 3501's address structure. A group begins with one without host, and ends with one without anything."""

    name: bytes | None
    route: bytes | None
    local_part: bytes | None
    domain: bytes | None


@dataclass(frozen=True, slots=True)
class MessageEnvelope:
    """The ten members of ENVELOPE, raw and unfolded; None for a field that is not there.

    sender and reply_to are those of from_ where they are missing or empty (RFC 3501 section 7.4.2).
    """

    date: bytes | None
    subject: bytes | None
    from_: tuple[MessageAddress, ...]
    sender: tuple[MessageAddress, ...]
    reply_to: tuple[MessageAddress, ...]
    to: tuple[MessageAddress, ...]
    cc: tuple[MessageAddress, ...]
    bcc: tuple[MessageAddress, ...]
    in_reply_to: bytes | None
    message_id: bytes | None


def envelope_of(header: bytes) -> MessageEnvelope:
    """The envelope of a header. Address fields that come twice are joined; of others the first counts."""
    found: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(header):
        name = match[1].lower()
        value = _FOLD.sub(b"", match[2][:FIELD_LIMIT]).strip()
        if name in found and name in (b"to", b"cc", b"bcc", b"from", b"reply-to"):
            found[name] += b", " + value
        else:
            found.setdefault(name, value)

    def addresses(name: bytes) -> tuple[MessageAddress, ...]:
        return parse_addresses(found[name]) if name in found else ()

    from_ = addresses(b"from")
    return MessageEnvelope(
        found.get(b"date"),
        found.get(b"subject"),
        from_,
        addresses(b"sender") or from_,
        addresses(b"reply-to") or from_,
        addresses(b"to"),
        addresses(b"cc"),
        addresses(b"bcc"),
        found.get(b"in-reply-to"),
        found.get(b"message-id"),
    )


class _Address:
    """One address while its pieces come."""

    def __init__(self) -> None:
        self.phrase: list[bytes] = []  # words with what stood between them
        self.angle: list[bytes] | None = None  # inside < >
        self.in_angle = False
        self.comment = b""

    def add(self, piece: bytes) -> None:
        """A piece in its place."""
        if self.in_angle and self.angle is not None:
            self.angle.append(piece)
        else:
            self.phrase.append(piece)

    def finish(self) -> MessageAddress | None:
        """What it was, or None for nothing."""
        if self.angle is not None:
            name = _unquote(b"".join(self.phrase).strip())
            text = b"".join(self.angle).strip()
            route = None
            if text.startswith(b"@"):
                route, _colon, text = text.partition(b":")
        else:
            text = b"".join(self.phrase).strip()
            name, route = self.comment.strip(), None
            if not text:
                return None
        local_part, at, domain = text.rpartition(b"@")
        if not at:
            local_part, domain = text, b""
        return MessageAddress(name or None, route, _unquote(local_part.strip()), domain.strip())


def parse_addresses(value: bytes) -> tuple[MessageAddress, ...]:
    """An address list with its groups."""
    plain = _PLAIN.fullmatch(value) if len(value) <= PLAIN_LIMIT else None
    if plain is not None:
        name = plain["name"] or plain["quoted"] or None
        return (MessageAddress(name, None, plain["local"], plain["domain"]),)
    return _read_list(value)


def _read_list(value: bytes) -> tuple[MessageAddress, ...]:
    """The same of any list."""
    found: list[MessageAddress] = []
    current = _Address()
    in_group = False
    position = 0
    value = value[:FIELD_LIMIT]

    def finish() -> None:
        nonlocal current
        address = current.finish()
        if address is not None:
            found.append(address)
        current = _Address()

    while position < len(value) and len(found) < ADDRESS_LIMIT:
        match = _PIECE.match(value, position)
        if match is None:
            position += 1  # a stray octet
            continue
        position = match.end()
        piece = match[0]
        if match.lastgroup == "space":
            current.add(b" ")
        elif match.lastgroup != "special" or piece in (b"@", b"."):
            current.add(piece)
        elif piece == b"(":
            current.comment, position = _comment(value, position)
        elif piece == b"<" and current.angle is None:
            current.angle, current.in_angle = [], True
        elif piece == b">":
            current.in_angle = False
        elif piece == b":" and current.in_angle:
            current.add(piece)
        elif piece == b":" and not in_group and current.angle is None:
            found.append(MessageAddress(None, None, _unquote(b"".join(current.phrase).strip()), None))
            current, in_group = _Address(), True
        elif piece == b"," and not current.in_angle:
            finish()
        elif piece == b"," and current.angle is not None:
            current.add(piece)  # a route: <@a,@b:c@d>
        elif piece == b";":
            finish()
            if in_group:
                found.append(MessageAddress(None, None, None, None))
                in_group = False
    finish()
    if in_group:
        found.append(MessageAddress(None, None, None, None))
    return tuple(found)


def _comment(value: bytes, position: int) -> tuple[bytes, int]:
    """The text of a comment that began before position, and where it ends."""
    start, depth = position, 1
    for match in re.compile(rb"\\.|[()]", re.DOTALL).finditer(value, position):
        if match[0] == b"(":
            depth = min(depth + 1, COMMENT_DEPTH)
        elif match[0] == b")":
            depth -= 1
            if depth == 0:
                return value[start : match.start()], match.end()
    return value[start:], len(value)


def _unquote(text: bytes) -> bytes:
    """Quoted strings without their quotes."""
    if b'"' not in text:
        return text
    return re.sub(
        rb'"([^"\\]*(?:\\.[^"\\]*)*)"?', lambda match: re.sub(rb"\\(.)", rb"\1", match[1]), text, flags=re.DOTALL
    )
