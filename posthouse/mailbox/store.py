"""The seam of the mailbox: a store of accounts, an account's mailboxes, a mailbox's messages.

One MailStore per kind: the native store (posthouse/mailbox/native), Maildir++ (maildir) and the
mbox spool (mbox). Every call is async and batch-shaped: uids come in many and rows go out in
pages, so that an implementation may be a file on this machine or a database elsewhere. No call
blocks the event loop, and none holds a transaction or a lock when it returns or while the caller
writes to a client.

What every implementation promises:

* A message is durable when append(), deliver(), copy() or move() returns it.
* uids only grow, are never given twice under one uid_validity, and a copy or move always gives
  new ones, also where the same message is there already.
* Content is canonical (lines end in CRLF) whatever lies on disk, and never changes under a uid.
* modseq grows with every change that commits; changes(since) gives everything that happened
  after `since`, whoever did it. notices are hints only.
* INBOX is always there, in any case ("inbox" is INBOX). Names are str (not modified UTF-7) with
  the separator "/", whatever lies on disk.

What is expected comes back as a value: Refused says why not. MailboxFault is raised where the
world failed (disk, lock, damaged file): the client hears that the server is out of order.

Standards: RFC 3501 section 2.3 (uid, flags, internal date), RFC 4315 (UIDPLUS), RFC 6851 (MOVE),
RFC 7162 (CONDSTORE, QRESYNC), RFC 6154 (SPECIAL-USE), RFC 9208 (QUOTA), RFC 8474 (OBJECTID),
RFC 8514 (SAVEDATE), RFC 1939 section 8 (UIDL).
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple, Protocol

from posthouse.envelope.content import Content
from posthouse.envelope.value import value
from posthouse.message.structure import Part

SEPARATOR = "/"

# RFC 3501 section 2.3.2. \Recent is no stored flag: see Mailbox.take_recent().
SYSTEM_FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")

# RFC 6154 section 2: what an account is born with, beside INBOX.
SPECIAL_USE = {
    "Sent": "\\Sent",
    "Drafts": "\\Drafts",
    "Trash": "\\Trash",
    "Junk": "\\Junk",
    "Archive": "\\Archive",
}


class MailboxFault(Exception):
    """The disk failed, a lock could not be had in time, or a file is damaged. Nothing was changed."""


class Refusal(Enum):
    """Why the store said no. Value: the response code of RFC 5530 (or 3501, 9208) that says it."""

    NONEXISTENT = "NONEXISTENT"
    """No such mailbox (for APPEND, COPY and MOVE the session says TRYCREATE) or account."""
    ALREADY_EXISTS = "ALREADYEXISTS"
    OVER_QUOTA = "OVERQUOTA"
    LIMIT = "LIMIT"
    """A named limit: size of a message, number of mailboxes, depth or length of a name."""
    CANNOT = "CANNOT"
    """This store can never do it: INBOX deleted, a bad name, a folder of an mbox spool."""
    READ_ONLY = "READ-ONLY"
    IN_USE = "INUSE"


@dataclass(frozen=True, slots=True)
class Refused:
    """A value: not done, nothing changed."""

    refusal: Refusal
    text: str
    """One short line for a person, without the response code."""


@dataclass(frozen=True, slots=True)
class MailboxInfo:
    """One name of LIST."""

    name: str
    subscribed: bool
    selectable: bool = True
    """False: only a parent (or the remains of one that was deleted), or a subscribed name that does not exist."""
    exists: bool = True
    """False: the name lives only in the list of subscriptions (LSUB shows it; LIST does not)."""
    special_use: str = ""
    """RFC 6154: "\\\\Sent", or ""."""
    mailbox_id: str = ""
    """RFC 8474 section 4, or "" where the store has none."""
    has_children: bool = False
    may_have_children: bool = True


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """The counts of one mailbox, as STATUS and SELECT tell them."""

    name: str
    messages: int
    recent: int
    unseen: int
    deleted: int
    uid_next: int
    uid_validity: int
    highest_modseq: int
    size: int
    """Bytes of all messages, in canonical form (RFC 8438)."""
    deleted_size: int
    """Bytes of those with \\Deleted (RFC 9208 DELETED-STORAGE)."""
    mailbox_id: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """RFC 9208: what one account uses and may use. 0 is no limit."""

    storage: int
    """Bytes used."""
    storage_limit: int
    messages: int
    message_limit: int


class MessageSummary(NamedTuple):
    """The row of one message: all that is known without touching its content. A tuple: listings make a lot of them."""

    uid: int
    modseq: int
    flags: frozenset[str]
    """System flags in RFC 3501's spelling and keywords as first given. Shared between rows: never changed."""
    internal_date: float
    """Seconds since the epoch."""
    save_date: float
    """When it came into this mailbox (RFC 8514)."""
    size: int
    """Octets in canonical form (RFC822.SIZE); exact."""
    header_size: int
    """Octets of the header with the empty line that ends it."""
    content: int = 0
    """Same number, same content, in every mailbox of the account; 0 where the store has none."""

    @property
    def email_id(self) -> str:
        """RFC 8474; "" where there is none."""
        return f"M{self.content:x}" if self.content else ""


@dataclass(frozen=True, slots=True)
class FlagsRow:
    """The flags of one message after a change."""

    uid: int
    modseq: int
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class FlagsStored:
    """What store_flags() did."""

    changed: Sequence[FlagsRow]
    """Every message asked for that is there and was not in conflict, as it is now (changed or not)."""
    conflicts: Sequence[int]
    """RFC 7162 section 3.1.3: uids whose modseq was above unchanged_since; nothing was done to them (MODIFIED)."""


@dataclass(frozen=True, slots=True)
class Appended:
    """RFC 4315 APPENDUID."""

    uid_validity: int
    uids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Copied:
    """RFC 4315 COPYUID: source_uids[i] became destination_uids[i]. Uids no longer there are left out."""

    uid_validity: int
    source_uids: Sequence[int]
    destination_uids: Sequence[int]
    modseq: int = 0
    """After a move: the modseq under which the messages vanished from the source."""


@dataclass(frozen=True, slots=True)
class Expunged:
    """Which messages went, in ascending order of uid."""

    uids: Sequence[int]
    modseq: int
    """The source's highest modseq now."""


@dataclass(frozen=True, slots=True)
class Changes:
    """All that happened in a mailbox after a modseq."""

    highest_modseq: int
    """Ask again from here."""
    uid_next: int
    changed: Sequence[MessageSummary]
    """New messages and changed flags, ascending by uid."""
    vanished: Sequence[int]
    """Expunged uids, ascending. RFC 7162 section 3.2.6."""
    complete: bool = True
    """False: tombstones since then are no longer kept, `vanished` may lack some. Compare with uids()."""
    gone: bool = False
    """The mailbox itself was deleted (or renamed away as INBOX is): the session must end its selection."""


class StoredContent(Protocol):
    """The canonical bytes of one stored message, read from disk when asked for."""

    @property
    def size(self) -> int:
        """Octets in all."""

    @property
    def header_size(self) -> int:
        """Octets up to and with the empty line."""

    def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The octets of [start, stop) in pieces of at most 64 KiB. Raises MailboxFault when they are gone meanwhile."""

    async def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The same in one piece: for ranges that the caller bounds."""


class ContentWriter(Protocol):
    """Takes one message (header, empty line, body) while it arrives; spills to a file when it grows.

    What comes in may have any line ends, cut anywhere: bare LF and bare CR become CRLF.
    """

    @property
    def size(self) -> int:
        """Octets so far, in canonical form."""

    def write(self, chunk: bytes) -> None:
        """Take bytes. Raises MailboxFault when the disk does; then only abort() is left."""

    async def room(self) -> None:
        """Wait until little enough is unwritten: awaited before reading more from the client."""

    async def finish(self) -> "Draft":
        """All is there. The draft goes to append(), and is lost when it does not."""

    def abort(self) -> None:
        """Forget it."""


class Draft(Protocol):
    """A finished content that is in no mailbox yet."""

    @property
    def size(self) -> int:
        """Octets in canonical form."""

    def abort(self) -> None:
        """Forget it. Does nothing after append()."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """One message for append()."""

    draft: Draft
    flags: frozenset[str] = frozenset()
    internal_date: float | None = None
    """Seconds since the epoch; None is now."""


@value
class Delivered:
    """Where deliver() put a message."""

    mailbox: str
    uid_validity: int
    uid: int
    created: bool = False
    """Whether the mailbox was made for it."""


class Mailbox(Protocol):
    """One mailbox, opened by one session. Other sessions and processes may change it at any time.

    uids that are not there are passed over silently in every call, as RFC 3501 section 6.4.8 wants.
    """

    @property
    def name(self) -> str:
        """As opened; a RENAME by another session does not change it."""

    @property
    def read_only(self) -> bool:
        """Opened by EXAMINE, or not ours to write: calls that write give Refused READ_ONLY."""

    @property
    def uid_validity(self) -> int:
        """RFC 3501 section 2.3.1.1; never changes while open."""

    @property
    def mailbox_id(self) -> str:
        """RFC 8474, or ""."""

    @property
    def permanent_flags(self) -> Sequence[str]:
        """RFC 3501 section 7.1: system flags that last, the keywords in use, and "\\\\*" where new ones may be made."""

    @property
    def has_modseq(self) -> bool:
        """False: NOMODSEQ (RFC 7162 section 3.1.2.2): modseqs serve within this session and store only."""

    async def status(self) -> MailboxStatus:
        """Counts now."""

    async def uids(self, present: frozenset[str] = frozenset(), absent: frozenset[str] = frozenset()) -> Sequence[int]:
        """Every uid, ascending: the session's sequence numbers are made of it. Or those alone of messages that have,
        and have not, these of SYSTEM_FLAGS."""

    async def take_recent(self) -> int:
        """The lowest uid that is \\Recent to this session; those above are too. Later sessions no longer see them so.

        A read-only session is told and nothing is taken.
        """

    def summaries(self, uids: Iterable[int] | None = None) -> AsyncIterator[Sequence[MessageSummary]]:
        """Rows, ascending by uid, in pages of at most 500. None: every message."""

    def headers(self, uids: Iterable[int]) -> AsyncIterator[Sequence[tuple[int, bytes]]]:
        """Headers with their empty line, ascending by uid, in pages bounded by number and size."""

    async def structures(self, uids: Sequence[int]) -> dict[int, Part]:
        """The MIME structure of each: source of BODYSTRUCTURE and of part ranges. Kept once made."""

    async def contents(self, uids: Sequence[int]) -> dict[int, StoredContent]:
        """Handles to read from; nothing is read yet."""

    async def append(self, messages: Sequence[NewMessage]) -> Appended | Refused:
        """All or none (RFC 3502 MULTIAPPEND), durable. Consumes or aborts every draft."""

    async def store_flags(
        self,
        uids: Iterable[int],
        mode: Literal["add", "remove", "replace"],
        flags: frozenset[str],
        unchanged_since: int | None = None,
    ) -> FlagsStored | Refused:
        """STORE. A message whose flags stay the same keeps its modseq."""

    async def expunge(self, uids: Iterable[int] | None = None) -> Expunged | Refused:
        """Remove messages with \\Deleted: all, or those among uids (UID EXPUNGE)."""

    async def remove(self, uids: Iterable[int]) -> Expunged | Refused:
        """Remove these whatever their flags (POP3's update state)."""

    async def copy(self, uids: Iterable[int], destination: str) -> Copied | Refused:
        """All or none, flags and internal date kept, new uids always."""

    async def move(self, uids: Iterable[int], destination: str) -> Copied | Refused:
        """A copy and the removal in one step: a crash leaves each message in one of the two, or (between two files
        that have no common transaction: Maildir++, mbox) in both, never in none."""

    async def changes(self, since: int) -> Changes:
        """What happened after modseq `since`."""

    async def wait(self, since: int, timeout: float) -> bool:
        """Wait until the mailbox may hold something after `since` (True), or timeout (False). Returns within 30 s of
        any change, mostly at once. Holds no connection and no lock meanwhile."""

    async def close(self) -> None:
        """End of selection; no expunge."""


class AccountStore(Protocol):
    """One open account."""

    @property
    def account(self) -> str:
        """Its login."""

    async def mailboxes(self) -> Sequence[MailboxInfo]:
        """Every mailbox, parents that cannot be selected, subscribed names that do not exist; by name, INBOX first."""

    async def subscribe(self, names: Sequence[str], subscribed: bool) -> None:
        """RFC 3501 sections 6.3.6 and 6.3.7: a name need not exist, and keeps its subscription when deleted."""

    async def create(self, name: str, special_use: str = "") -> MailboxInfo | Refused:
        """CREATE; missing parents are made too. A trailing separator is ignored."""

    async def delete(self, name: str) -> Refused | None:
        """DELETE: the messages go; children stay, and the name stays as \\Noselect while it has some."""

    async def rename(self, name: str, new_name: str) -> Refused | None:
        """RENAME with its children; of INBOX: its messages move to a new mailbox and INBOX stays (section 6.3.5)."""

    async def set_special_use(self, name: str, special_use: str) -> Refused | None:
        """RFC 6154 section 5.1's use attribute; "" takes it away. A use belongs to one mailbox at a time."""

    async def status(self, names: Sequence[str]) -> dict[str, MailboxStatus]:
        """STATUS of many at once; names that do not exist are left out. Keys are the names asked for."""

    async def select(self, name: str, *, read_only: bool = False) -> Mailbox | Refused:
        """SELECT and EXAMINE, and the way to append to a mailbox."""

    def new_content(self) -> ContentWriter:
        """Begin a message for append() to any mailbox of this account."""

    async def quota(self) -> Quota:
        """Used and allowed."""

    async def close(self) -> None:
        """The session is over."""


class MailStore(Protocol):
    """All accounts of one kind."""

    async def open(self, account: str) -> AccountStore | Refused:
        """Open for a session; the native store makes the account's file when it is not there."""

    async def deliver(
        self,
        account: str,
        content: Content,
        *,
        mailbox: str = "INBOX",
        flags: frozenset[str] = frozenset(),
        create: bool = False,
        sender: str = "",
        internal_date: float | None = None,
    ) -> Delivered | Refused:
        """Final delivery: durable when it returns. Deliveries that wait together share a commit.

        create: make the mailbox when it is missing (fileinto :create); else Refused NONEXISTENT. sender is the
        reverse path, for mbox's From_ line.
        """

    async def close(self) -> None:
        """Finish what is being written and let go of every file."""
