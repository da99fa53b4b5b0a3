"""BODYSTRUCTURE, BODY and ENVELOPE of a stored message.

What the header gives is written as found; parameters are never NIL inside a list, counts never
negative, and a multipart without parts is shown as the text it then is: clients break on less.

Standards: RFC 3501 section 7.4.2; RFC 2045 section 5.2.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from posthouse.message.structure import Part
from posthouse.message.structure_envelope import MessageAddress, MessageEnvelope, envelope_of
from posthouse.wire.imap.response import nstring, string

# No more of a header is looked at for its envelope: it is read on the event loop.
HEADER_LIMIT = 262_144
WORD_LIMIT = 64


@lru_cache(maxsize=1024)
def _word(value: str) -> bytes:
    return string(value.encode("latin-1", "replace"))


def _text(value: str) -> bytes:
    """Most are words that all messages share: types, charsets, encodings."""
    return _word(value) if len(value) <= WORD_LIMIT else string(value.encode("latin-1", "replace"))


def _ntext(value: str | None) -> bytes:
    return b"NIL" if value is None else _text(value)


def _parameters(parameters: tuple[tuple[str, str], ...]) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(" + b" ".join(_text(name) + b" " + _text(value) for name, value in parameters) + b")"


def _extension(part: Part) -> bytes:
    """Disposition, language, location."""
    disposition = b"NIL"
    if part.disposition is not None:
        disposition = b"(" + _text(part.disposition) + b" " + _parameters(part.disposition_parameters) + b")"
    if not part.languages:
        language = b"NIL"
    elif len(part.languages) == 1:
        language = _text(part.languages[0])
    else:
        language = b"(" + b" ".join(map(_text, part.languages)) + b")"
    return disposition + b" " + language + b" " + _ntext(part.location)


def format_structure(root: Part, envelopes: Mapping[int, MessageEnvelope], *, extended: bool) -> bytes:
    """BODYSTRUCTURE (extended) or BODY. envelopes: of each message inside, by the offset of its header."""
    done: dict[int, bytes] = {}
    # Children before parents: structures are deeper than a stack of calls should be.
    for part in reversed(list(root.walk())):
        children = [done.pop(id(child)) for child in part.parts]
        done[id(part)] = _format(part, children, envelopes, extended)
    return done[id(root)]


def _format(part: Part, children: list[bytes], envelopes: Mapping[int, MessageEnvelope], extended: bool) -> bytes:
    if part.is_multipart:
        pieces = b"".join(children) + b" " + _text(part.subtype)
        if extended:
            pieces += b" " + _parameters(part.parameters) + b" " + _extension(part)
        return b"(" + pieces + b")"
    main, subtype, parameters = part.type, part.subtype, part.parameters
    if main == "multipart":
        main, subtype, parameters = "text", "plain", ()
    if main == "message" and subtype in ("rfc822", "global") and not part.is_message:
        # An encoded message's inside is not known, and clients parse the fields of a message by their place.
        main, subtype = "application", "octet-stream"
    if main == "text" and not parameters:
        parameters = (("charset", "us-ascii"),)  # RFC 2045 section 5.2
    fields = [
        _text(main),
        _text(subtype),
        _parameters(parameters),
        _ntext(part.content_id),
        _ntext(part.description),
        _text(part.encoding),
        b"%d" % part.size,
    ]
    if part.is_message:
        inner = part.parts[0]
        fields += [format_envelope(envelopes[inner.header_start]), children[0], b"%d" % part.lines]
    elif main == "text":
        fields.append(b"%d" % part.lines)
    if extended:
        fields += [_ntext(part.md5), _extension(part)]
    return b"(" + b" ".join(fields) + b")"


def messages_inside(root: Part) -> list[Part]:
    """The messages whose envelopes format_structure() needs."""
    return [part.parts[0] for part in root.walk() if part.is_message]


def format_envelope(envelope: MessageEnvelope) -> bytes:
    """ENVELOPE's value."""
    from_ = _addresses(envelope.from_)
    members = [
        nstring(envelope.date),
        nstring(envelope.subject),
        from_,
        from_ if envelope.sender is envelope.from_ else _addresses(envelope.sender),
        from_ if envelope.reply_to is envelope.from_ else _addresses(envelope.reply_to),
        _addresses(envelope.to),
        _addresses(envelope.cc),
        _addresses(envelope.bcc),
        nstring(envelope.in_reply_to),
        nstring(envelope.message_id),
    ]
    return b"(" + b" ".join(members) + b")"


def _addresses(addresses: Sequence[MessageAddress]) -> bytes:
    return b"(" + b"".join(map(_address, addresses)) + b")" if addresses else b"NIL"


def _address(address: MessageAddress) -> bytes:
    parts = (address.name, address.route, address.local_part, address.domain)
    return b"(" + b" ".join(map(nstring, parts)) + b")"


def envelope(header: bytes) -> bytes:
    """ENVELOPE's value of a header."""
    return format_envelope(envelope_of(header[:HEADER_LIMIT]))
