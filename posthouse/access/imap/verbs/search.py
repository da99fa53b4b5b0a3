"""SEARCH and UID SEARCH.

Standards: RFC 3501 section 6.4.4; RFC 4731 (ESEARCH); RFC 5182 (SAVE); RFC 7162 section 3.1.5 (MODSEQ).
"""

from collections.abc import Sequence

from posthouse.access.imap.searching import find, find_uids
from posthouse.access.imap.session import Done, ImapSession
from posthouse.mailbox.store import MessageSummary
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.reader import Command
from posthouse.wire.imap.response import string
from posthouse.wire.imap.search import CHARSETS, BadCharset, SearchRequest, parse_search
from posthouse.wire.imap.sequence import format_set


async def search(session: ImapSession, command: Command) -> Done:
    """SEARCH, UID SEARCH."""
    saves = b"SAVE" in command.cursor.data.upper()
    try:
        request = parse_search(command.cursor)
        if request.modseq:
            session.need_modseq()
        uids = None if request.modseq else await find_uids(session, request.key)
        found = [] if uids is not None else await find(session, request.key)
    except BadCharset:
        return Done("NO", "Unknown charset.", f"BADCHARSET ({' '.join(CHARSETS)})")
    except ImapSyntaxError:
        if saves:
            session.selected.saved = []  # RFC 5182 section 2.1: a search that fails leaves an empty result
        raise
    uids = [row.uid for row in found] if uids is None else uids
    numbers = uids if command.uid else session.selected.numbers(uids)
    highest = max((row.modseq for row in found), default=0) if request.modseq else 0
    if request.options is None:
        modseq = b" (MODSEQ %d)" % highest if highest else b""
        session.send(b"* SEARCH" + b"".join(b" %d" % number for number in numbers) + modseq + b"\r\n")
        return Done("OK", "Search completed.")
    if "SAVE" in request.options:
        session.selected.saved = _saved(uids, request.options)
    if request.options != {"SAVE"}:
        session.send(_esearch(command, request, numbers, found, highest))
    return Done("OK", "Search completed.")


def _saved(uids: list[int], options: frozenset[str]) -> list[int]:
    """RFC 5182 section 2.4: MIN and MAX alone save what they give."""
    if not uids or options & {"ALL", "COUNT"} or not options & {"MIN", "MAX"}:
        return uids
    wanted = ([uids[0]] if "MIN" in options else []) + ([uids[-1]] if "MAX" in options else [])
    return sorted(set(wanted))


def _esearch(
    command: Command, request: SearchRequest, numbers: Sequence[int], found: Sequence[MessageSummary], highest: int
) -> bytes:
    options = request.options or frozenset()
    pieces = [b"* ESEARCH (TAG " + string(command.tag.encode("ascii")) + b")"]
    if command.uid:
        pieces.append(b"UID")
    if numbers:
        if "MIN" in options:
            pieces.append(b"MIN %d" % numbers[0])
        if "MAX" in options:
            pieces.append(b"MAX %d" % numbers[-1])
        if "ALL" in options:
            pieces.append(b"ALL " + format_set(numbers))
    if "COUNT" in options:
        pieces.append(b"COUNT %d" % len(numbers))
    if highest:
        # RFC 4731 section 3.2: of MIN and MAX alone, the modseq of those messages
        if not options & {"ALL", "COUNT"}:
            ends = ([found[0]] if "MIN" in options else []) + ([found[-1]] if "MAX" in options else [])
            highest = max((row.modseq for row in ends), default=highest)
        pieces.append(b"MODSEQ %d" % highest)
    return b" ".join(pieces) + b"\r\n"
