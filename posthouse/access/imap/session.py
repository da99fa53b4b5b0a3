"""One IMAP session after login: its account, its selection, and how responses are made.

The verbs live in files of their own (verbs/) and change a session through what stands here;
dialogue.py runs it.

Standards: RFC 3501 sections 3 and 7; RFC 5530 (response codes); RFC 7162 sections 3.1 and 3.2.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from posthouse.access.imap.connection import Connection
from posthouse.access.imap.selection import Selection
from posthouse.access.imap.service import ImapService
from posthouse.host.log import ProcessLog
from posthouse.mailbox.store import SYSTEM_FLAGS, AccountStore, Mailbox, Refusal, Refused
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.response import flag_list, untagged
from posthouse.wire.imap.sequence import format_set


class Done(NamedTuple):
    """How a command ended: `tag OK [code] text`."""

    status: str
    text: str
    code: str = ""


class MailboxGone(Exception):
    """The selected mailbox was deleted by somebody else."""


@lru_cache(maxsize=4096)
def flags_of(flags: frozenset[str], recent: bool) -> bytes:
    """FLAGS' value; rows share their sets, so most are made once."""
    return flag_list(flags | {"\\Recent"} if recent else flags)


class ImapSession:
    """One client that has logged in."""

    __slots__ = ("account", "condstore", "connection", "log", "namaddr", "qresync", "selection", "service")

    def __init__(
        self, service: ImapService, connection: Connection, log: ProcessLog, namaddr: str, account: AccountStore
    ) -> None:
        self.service = service
        self.connection = connection
        self.log = log
        self.namaddr = namaddr
        self.account = account
        self.selection: Selection | None = None
        self.condstore = False
        """RFC 7162 section 3.1: FETCH responses tell modseqs."""
        self.qresync = False
        """RFC 7162 section 3.2: VANISHED instead of EXPUNGE."""

    def send(self, data: bytes) -> None:
        """Queue part of a response."""
        self.connection.send(data)

    # -- selection ------------------------------------------------------------------------

    @property
    def selected(self) -> Selection:
        """What is selected; commands that need it come no further without."""
        assert self.selection is not None
        return self.selection

    async def unselect(self) -> None:
        """End the selection."""
        if self.selection is not None:
            mailbox, self.selection = self.selection.mailbox, None
            await mailbox.close()

    # -- responses ------------------------------------------------------------------------

    def send_fetch(self, uid: int, flags: frozenset[str], modseq: int, *, with_uid: bool) -> None:
        """`* n FETCH (FLAGS …)` of a message whose flags changed."""
        selection = self.selected
        number = selection.number(uid)
        if not number:
            return
        self.tell_keywords(flags)
        pieces = [b"FLAGS " + flags_of(flags, selection.is_recent(uid))]
        if with_uid or self.qresync:
            pieces.insert(0, b"UID %d" % uid)
        if self.tells_modseq:
            pieces.append(b"MODSEQ (%d)" % modseq)
        self.send(b"* %d FETCH (%b)\r\n" % (number, b" ".join(pieces)))

    def send_modseq(self, uid: int, modseq: int, *, with_uid: bool) -> None:
        """`* n FETCH (MODSEQ …)` behind a STORE .SILENT (RFC 7162 section 3.1.3)."""
        number = self.selected.number(uid)
        if number:
            label = b"UID %d " % uid if with_uid or self.qresync else b""
            self.send(b"* %d FETCH (%bMODSEQ (%d))\r\n" % (number, label, modseq))

    def tell_keywords(self, flags: frozenset[str]) -> None:
        """RFC 3501 section 7.2.6: a keyword is in FLAGS before it is in a FETCH."""
        selection = self.selected
        new = {flag for flag in flags if not flag.startswith("\\")} - selection.keywords
        if new:
            selection.keywords |= new
            self.send_flags(selection.mailbox)

    def send_flags(self, mailbox: Mailbox) -> None:
        """FLAGS and PERMANENTFLAGS."""
        selection = self.selected
        self.send(b"* FLAGS " + flag_list({*SYSTEM_FLAGS, *selection.keywords}) + b"\r\n")
        permanent = () if mailbox.read_only else {*mailbox.permanent_flags, *selection.keywords}
        text = "No permanent flags permitted." if mailbox.read_only else "Flags permitted."
        self.send(untagged("OK", text, b"PERMANENTFLAGS " + flag_list(permanent)))

    def send_expunged(self, uids: Sequence[int]) -> None:
        """Messages left the mailbox: EXPUNGE or VANISHED of those the client knows."""
        selection = self.selected
        numbers = selection.numbers(uids)
        removed = selection.remove(uids)
        if not removed:
            return
        if self.qresync:
            self.send(b"* VANISHED %b\r\n" % format_set(removed))
            return
        for number in reversed(numbers):  # from the end, so that none shifts another
            self.send(b"* %d EXPUNGE\r\n" % number)

    def send_exists(self) -> None:
        """EXISTS and RECENT."""
        selection = self.selected
        self.send(b"* %d EXISTS\r\n* %d RECENT\r\n" % (selection.exists, selection.recent))

    @property
    def tells_modseq(self) -> bool:
        """Whether FETCH responses have MODSEQ."""
        return self.condstore and self.selected.mailbox.has_modseq

    def need_modseq(self) -> None:
        """RFC 7162 section 3.1.2.2: BAD where modseqs do not last. Otherwise CONDSTORE is enabled by its use."""
        if not self.selected.mailbox.has_modseq:
            raise ImapSyntaxError("Mailbox has no permanent mod-sequences")
        self.enable_condstore()

    def enable_condstore(self) -> None:
        """RFC 7162 section 3.1: the first command that shows CONDSTORE enables it, and is told HIGHESTMODSEQ."""
        if self.condstore:
            return
        self.condstore = True
        if self.selection is not None and self.selection.mailbox.has_modseq:
            self.send(untagged("OK", "Highest", f"HIGHESTMODSEQ {self.selection.modseq}"))


def refusal(refused: Refused, *, try_create: bool = False) -> Done:
    """NO for what the store refused. try_create: the mailbox was a destination (RFC 3501 section 6.3.11)."""
    code = refused.refusal.value
    if try_create and refused.refusal is Refusal.NONEXISTENT:
        code = "TRYCREATE"
    text = refused.text[:1].upper() + refused.text[1:]
    return Done("NO", text if text.endswith(".") else text + ".", code)
