"""LIST and LSUB.

Plain LIST shows special uses and children too: clients that never ask for them read them there.
\\NonExistent is said only to those who speak RFC 5258; others get \\Noselect, which every client knows.

Standards: RFC 3501 sections 6.3.8 and 6.3.9; RFC 5258 (LIST-EXTENDED); RFC 5819 (LIST-STATUS);
RFC 3348 (CHILDREN); RFC 6154 (SPECIAL-USE).
"""

from collections.abc import Iterable, Sequence

from posthouse.access.imap.session import Done, ImapSession
from posthouse.access.imap.verbs.status import status_line
from posthouse.mailbox.names import parents
from posthouse.mailbox.store import SEPARATOR, MailboxInfo
from posthouse.wire.imap.mailboxes import ListRequest, parse_list
from posthouse.wire.imap.pattern import Pattern
from posthouse.wire.imap.reader import Command
from posthouse.wire.imap.response import mailbox_name

STATUS_PAGE = 100
"""Mailboxes whose counts are asked for in one go."""


def _patterns(request: ListRequest) -> list[Pattern]:
    return [Pattern(request.reference + pattern) for pattern in request.patterns]


def _line(word: str, attributes: Iterable[str], name: str, extra: bytes = b"") -> bytes:
    flags = " ".join(attributes).encode("ascii")
    return b'* %b (%b) "/" %b%b\r\n' % (word.encode("ascii"), flags, mailbox_name(name), extra)


def _attributes(info: MailboxInfo, request: ListRequest, subscribed_asked: bool) -> list[str]:
    found = []
    if not info.exists:
        found.append("\\NonExistent" if request.extended else "\\Noselect")
    elif not info.selectable:
        found.append("\\Noselect")
    if not info.may_have_children:
        found.append("\\Noinferiors")
    elif info.exists:
        found.append("\\HasChildren" if info.has_children else "\\HasNoChildren")
    if subscribed_asked and info.subscribed:
        found.append("\\Subscribed")
    if info.special_use:
        found.append(info.special_use)
    return found


async def list_(session: ImapSession, command: Command) -> Done:
    """LIST."""
    request = parse_list(command.cursor)
    if request.patterns == ("",) and not request.extended:
        # RFC 3501 section 6.3.8: the separator and the root of the reference
        session.send(_line("LIST", ["\\Noselect"], ""))
        return Done("OK", "List completed.")
    patterns = _patterns(request)
    infos = await session.account.mailboxes()
    subscribed_only = "SUBSCRIBED" in request.selection
    subscribed_asked = subscribed_only or "SUBSCRIBED" in request.returns
    recursive = "RECURSIVEMATCH" in request.selection
    shown: list[MailboxInfo] = []
    for info in infos:
        if not any(pattern.matches(info.name) for pattern in patterns):
            continue
        wanted = info.exists or subscribed_only
        if subscribed_only and not info.subscribed:
            wanted = False
        if "SPECIAL-USE" in request.selection and not info.special_use:
            wanted = False
        below = recursive and any(
            other.name.startswith(info.name + SEPARATOR) and (other.subscribed or not subscribed_only)
            for other in infos
        )
        if not wanted and not below:
            continue
        extra = b' ("CHILDINFO" ("SUBSCRIBED"))' if below and subscribed_only else b""
        session.send(_line("LIST", _attributes(info, request, subscribed_asked), info.name, extra))
        shown.append(info)
    if request.status:
        await _send_status(session, [info.name for info in shown if info.selectable], request.status)
    return Done("OK", "List completed.")


async def _send_status(session: ImapSession, names: Sequence[str], items: Sequence[str]) -> None:
    if "HIGHESTMODSEQ" in items:
        session.enable_condstore()
    limit = session.service.settings.imapd_append_limit
    for start in range(0, len(names), STATUS_PAGE):
        page = names[start : start + STATUS_PAGE]
        found = await session.account.status(page)
        for name in page:
            if name in found:
                session.send(status_line(name, found[name], items, limit))
        await session.connection.drain()


async def lsub(session: ImapSession, command: Command) -> Done:
    """LSUB: subscribed names; where "%" hides one below, its parent as \\Noselect."""
    request = parse_list(command.cursor)
    if request.patterns == ("",):
        session.send(_line("LSUB", ["\\Noselect"], ""))
        return Done("OK", "Lsub completed.")
    patterns = _patterns(request)
    shown: dict[str, list[str]] = {}
    for info in await session.account.mailboxes():
        if not info.subscribed:
            continue
        if any(pattern.matches(info.name) for pattern in patterns):
            shown[info.name] = [] if info.selectable or not info.exists else ["\\Noselect"]
            continue
        for above in parents(info.name):
            if any(pattern.matches(above) for pattern in patterns):
                shown.setdefault(above, ["\\Noselect"])
    for name, attributes in shown.items():
        session.send(_line("LSUB", attributes, name))
    return Done("OK", "Lsub completed.")
