"""FETCH items that the row of a message answers: a whole page of responses at once.

Standards: RFC 3501 section 7.4.2; RFC 7162 section 3.1.4 (MODSEQ); RFC 8474 (EMAILID, THREADID); RFC 8514 (SAVEDATE).
"""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

from posthouse.access.imap.selection import Selection
from posthouse.access.imap.session import ImapSession, flags_of
from posthouse.mailbox.store import MessageSummary
from posthouse.wire.imap.dates import format_date_time

_FORMS = {
    "UID": b"UID %d",
    "FLAGS": b"FLAGS %b",
    "RFC822.SIZE": b"RFC822.SIZE %d",
    "INTERNALDATE": b"INTERNALDATE %b",
    "MODSEQ": b"MODSEQ (%d)",
    "EMAILID": b"EMAILID %b",
    "THREADID": b"THREADID %b",
    "SAVEDATE": b"SAVEDATE %b",
}
_VALUES: dict[str, Callable[[MessageSummary], bytes | int]] = {
    "UID": attrgetter("uid"),
    "RFC822.SIZE": attrgetter("size"),
    "INTERNALDATE": lambda row: format_date_time(row.internal_date),
    "MODSEQ": attrgetter("modseq"),
    "EMAILID": lambda row: b"(%b)" % row.email_id.encode("ascii") if row.email_id else b"NIL",
    "THREADID": lambda _row: b"NIL",
    "SAVEDATE": lambda row: format_date_time(row.save_date),
}
ROW_ITEMS = frozenset(_FORMS)


def _value(selection: Selection, name: str) -> Callable[[MessageSummary], bytes | int]:
    if name != "FLAGS":
        return _VALUES[name]
    if not selection.recent:
        return lambda row: flags_of(row.flags, False)
    is_recent = selection.is_recent
    return lambda row: flags_of(row.flags, is_recent(row.uid))


def row_item(session: ImapSession, name: str, row: MessageSummary) -> bytes:
    """One of ROW_ITEMS."""
    if name == "FLAGS":
        session.tell_keywords(row.flags)
        return b"FLAGS " + flags_of(row.flags, session.selected.is_recent(row.uid))
    return _FORMS[name] % _VALUES[name](row)


def row_responses(session: ImapSession, names: Sequence[str], rows: Sequence[MessageSummary]) -> Iterator[bytes]:
    """`* n FETCH (…)` with these of ROW_ITEMS, for each message that the client knows; uids ascend."""
    selection = session.selected
    if "FLAGS" in names:
        for flags in {row.flags for row in rows}:
            session.tell_keywords(flags)
        if session.tells_modseq and "MODSEQ" not in names:
            names = (*names, "MODSEQ")
    form = b"* %d FETCH (" + b" ".join(map(_FORMS.__getitem__, names)) + b")\r\n"
    values = [_value(selection, name) for name in names]
    for number, row in zip(selection.places([row.uid for row in rows]), rows, strict=True):
        if number:
            yield form % (number, *[value(row) for value in values])
