"""The mbox spool beneath the rows: one file is INBOX, served where it lies.

The index (under the owner's rights, not in the spool) keeps uids and flags; a message is known
again by its digest wherever it lies in the file, so that what mail(1) or mutt did in between is
seen as it was. Flags that another program wrote win over ours; ours are written into Status fields
when a session ends or expunges.

Every look and change is made under the locks of mailbox_delivery_lock, held within one batch.
"""

import errno
import mmap
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from posthouse.mailbox.canonical import canonical, to_lf
from posthouse.mailbox.index.backing import Arrival, StoredDraft
from posthouse.mailbox.index.files import CHUNK, CanonicalFile, FileDraft, measure
from posthouse.mailbox.index.folders import ONE_MAILBOX
from posthouse.mailbox.index.messages import change_flags, drop, insert
from posthouse.mailbox.index.rows import AccountFile, Incoming, MailboxRow, MessageRow
from posthouse.mailbox.mbox.append_note import AppendNote
from posthouse.mailbox.mbox.format import (
    Found,
    messages_of,
    raw_content,
    read_status,
    unwrap,
    with_status,
    wrap,
    write_status,
)
from posthouse.mailbox.mbox.locks import LockRules, MboxLock, lock_mbox, lock_to_read
from posthouse.mailbox.mbox.rewrite import Rewriter
from posthouse.mailbox.store import MailboxFault, Refusal, Refused, StoredContent

# A file changed less than this ago may change again in the same tick of the kernel's clock, with the same size.
TICK = 0.05


READ_ONLY = Refused(Refusal.READ_ONLY, "The mailbox file may not be written")


def _is_read_only(fault: MailboxFault) -> bool:
    return isinstance(fault.__cause__, OSError) and fault.__cause__.errno in (errno.EROFS, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Where:
    """MessageRow.disk: where a message was last seen, and with which Status fields."""

    start: int
    end: int
    digest: str
    status: str

    @classmethod
    def parse(cls, disk: str) -> "Where":
        """Its inverse."""
        start, end, digest, status = disk.split(":", 3)
        return cls(int(start), int(end), digest, status)

    def __str__(self) -> str:
        return f"{self.start}:{self.end}:{self.digest}:{self.status}"


class MboxBacking:
    """See index/backing.py."""

    kind = "mbox"
    disk_is_truth = True
    has_modseq = True
    has_folders = False

    def __init__(self, spool: Path, note: Path, pool: Executor, rules: LockRules, size_limit: int) -> None:
        self._spool = str(spool)
        self._pool = pool
        self._rules = rules
        self._size_limit = size_limit
        self._rewriter = Rewriter(note)
        self._note = AppendNote(note.with_suffix(".append"))
        self._lock: MboxLock | None = None
        self._clean: tuple[object, int] | None = None
        self._dirty = False
        self._rewritten = 0
        self._reading = -1

    def _locked(self) -> int:
        """The file's descriptor, under lock until release()."""
        if self._lock is None:
            self._lock = lock_mbox(self._spool, self._rules)
            assert self._lock is not None
            self._rewriter.recover(self._lock.descriptor)
            self._note.recover(self._lock.descriptor)
        return self._lock.descriptor

    def _looked_at(self) -> int:
        """The same for reading alone, where the file may not be written (a read-only /var/mail)."""
        if self._reading >= 0:
            return self._reading
        try:
            return self._locked()
        except MailboxFault as fault:
            if not _is_read_only(fault):
                raise
        try:
            self._reading = lock_to_read(self._spool, self._rules)
        except OSError as error:
            raise MailboxFault(f"{self._spool}: {error.strerror}") from error
        return self._reading

    def refresh_folders(self, file: AccountFile) -> None:
        """INBOX is all there is."""

    def make_folder(self, file: AccountFile, name: str) -> str | Refused:
        """Refused."""
        return ONE_MAILBOX

    def rename_folder(self, file: AccountFile, row: MailboxRow, new_name: str) -> str | Refused:
        """Refused."""
        return ONE_MAILBOX

    def delete_folder(self, file: AccountFile, row: MailboxRow) -> Refused | None:
        """Refused."""
        return ONE_MAILBOX

    def _mark(self) -> object:
        try:
            status = os.stat(self._spool)
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def refresh(self, file: AccountFile, row: MailboxRow) -> None:
        """Read the file when it is not as it was left."""
        if self._clean is not None and self._clean == (self._mark(), row.modseq):
            return
        if self._mark() is None and not row.messages:
            return  # no mail yet; the file is made by the first delivery
        descriptor = self._looked_at()
        size = os.fstat(descriptor).st_size
        if not size:
            drop(file, row, file.messages(row.id))
        else:
            with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as data:
                found = [each for each in messages_of(data) if not each.internal]
                if not found and data[:].strip():
                    raise MailboxFault(f"{self._spool}: not an mbox file")
                self._reconcile(file, row, data, found)
        if time.time() - os.fstat(descriptor).st_mtime > TICK:
            self._clean = (self._mark(), row.modseq)

    def _reconcile(self, file: AccountFile, row: MailboxRow, data: mmap.mmap, found: list[Found]) -> None:
        known: defaultdict[str, deque[tuple[MessageRow, Where]]] = defaultdict(deque)
        for message in file.messages(row.id):
            where = Where.parse(message.disk)
            known[where.digest].append((message, where))
        changes: list[tuple[MessageRow, int, str]] = []
        places: list[tuple[str, int, int]] = []
        new: list[Incoming] = []
        for each in found:
            place = str(Where(each.start, each.end, each.digest, each.status))
            if not known[each.digest]:
                new.append(self._incoming(data, each, place))
                continue
            message, where = known[each.digest].popleft()
            if where.status != each.status:
                message.disk = place
                changes.append((message, *read_status(each.status)))
            elif message.disk != place:
                places.append((place, row.id, message.uid))
        gone = [message for rows in known.values() for message, _ in rows]
        drop(file, row, sorted(gone, key=lambda message: message.uid))
        change_flags(file, row, changes, seen_on_disk=True)
        file.connection.executemany("UPDATE message SET disk = ? WHERE mailbox = ? AND uid = ?", places)
        insert(file, row, new)

    @staticmethod
    def _incoming(data: mmap.mmap, found: Found, place: str) -> Incoming:
        size, header_size = measure(iter((raw_content(data, found),)))
        bits, keywords = read_status(found.status)
        return Incoming(0, place, bits, keywords, from_line_date(data[found.start : found.content]), size, header_size)

    def put(
        self,
        file: AccountFile,
        row: MailboxRow,
        draft: StoredDraft,
        flags: int,
        keywords: str,
        date: float,
        sender: str,
    ) -> Incoming | Refused:
        """Append. A write that fails takes the file back to where it was."""
        assert isinstance(draft, FileDraft)
        content = draft.path.read_bytes() if draft.path is not None else to_lf(draft.data)
        return self._append(file, content, flags, keywords, date, sender)

    def _append(
        self, file: AccountFile, content: bytes, flags: int, keywords: str, date: float, sender: str
    ) -> Incoming | Refused:
        try:
            descriptor = self._locked()
        except MailboxFault as fault:
            if _is_read_only(fault):
                return READ_ONLY
            raise
        old_size = os.fstat(descriptor).st_size
        raw = wrap(content, sender, date)
        status = ""
        if flags or keywords:
            status = write_status(flags, keywords)
            raw = with_status(raw, status)
        start = old_size
        if old_size:
            end = os.pread(descriptor, 2, max(old_size - 2, 0))
            missing = b"\n" * (2 - (len(end) - len(end.rstrip(b"\n"))))
            raw, start = missing + raw, old_size + len(missing)
        if self._size_limit and old_size + len(raw) > self._size_limit:
            return Refused(Refusal.OVER_QUOTA, "mailbox is full: mailbox_size_limit is reached")
        inode, rewritten = os.fstat(descriptor).st_ino, self._rewritten
        file.undo.append(lambda: self._take_back(inode, rewritten, old_size, old_size + len(raw)))
        self._note.begin(descriptor, old_size, old_size + len(raw))
        view = memoryview(raw)
        position = old_size
        while view:
            written = os.pwrite(descriptor, view, position)
            view, position = view[written:], position + written
        self._dirty = True
        self._clean = None
        (found,) = messages_of(raw)
        size, header_size = measure(iter((raw_content(raw, found),)))
        place = Where(start, start + found.end - found.start, found.digest, found.status)
        return Incoming(0, str(place), flags, keywords, date, size, header_size)

    def _take_back(self, inode: int, rewritten: int, old_size: int, new_size: int) -> None:
        """Cut what was appended, when nothing came after it. After a rewrite the sizes mean nothing: it stays."""
        if rewritten != self._rewritten:
            return
        descriptor = self._locked()
        status = os.fstat(descriptor)
        if status.st_ino == inode and old_size < status.st_size <= new_size:
            os.ftruncate(descriptor, old_size)

    def put_together(self, file: AccountFile, arrivals: Sequence[Arrival]) -> list[Incoming] | None:
        """One append after the other."""
        return None

    def flags_changed(self, file: AccountFile, row: MailboxRow, message: MessageRow, flags: int, keywords: str) -> str:
        """In the index only, until flush() or an expunge."""
        return message.disk

    def copy(
        self, file: AccountFile, source: MailboxRow, message: MessageRow, target: MailboxRow
    ) -> Incoming | Refused:
        """Append the same content again."""
        content = to_lf(self.load(file, source, message))
        return self._append(file, content, message.flags, message.keywords, message.internal_date, "")

    def remove(self, file: AccountFile, row: MailboxRow, messages: Sequence[MessageRow]) -> None:
        """Rewrite the file without these, and with the flags of the others."""
        self._rewrite(file, row, {message.uid for message in messages})

    def flush(self, file: AccountFile, row: MailboxRow) -> None:
        """Write flags that only the index knows into Status fields."""
        if self._mark() is None:
            return
        try:
            self._rewrite(file, row, set())
        except MailboxFault as fault:
            if not _is_read_only(fault):  # then they stay in the index
                raise

    def _rewrite(self, file: AccountFile, row: MailboxRow, gone: set[int]) -> None:
        """The rows are up to the disk (refresh() came before, and appends of this batch wrote theirs)."""
        places: list[tuple[str, int, int]] = []
        pieces: list[bytes] = []
        first = -1
        position = 0
        descriptor = -1
        behind = 0  # the end of the last piece in the old file: what lies between (pine's own message) stays
        for message in sorted(file.messages(row.id), key=lambda each: Where.parse(each.disk).start):
            where = Where.parse(message.disk)
            doomed = message.uid in gone
            changed = read_status(where.status) != (message.flags, message.keywords)
            if first < 0:
                if not doomed and not changed:
                    continue
                descriptor = self._locked()
                first = position = behind = where.start
            between = os.pread(descriptor, where.start - behind, behind)
            behind = where.end
            pieces.append(between)
            position += len(between)
            if doomed:
                continue
            raw = os.pread(descriptor, where.end - where.start, where.start)
            status = where.status
            if changed:
                status = write_status(message.flags, message.keywords)
                raw = with_status(raw, status)
                status = next(messages_of(raw)).status
            pieces.append(raw)
            places.append((str(Where(position, position + len(raw), where.digest, status)), row.id, message.uid))
            position += len(raw)
        if first < 0:
            return
        pieces.append(os.pread(descriptor, os.fstat(descriptor).st_size - behind, behind))
        self._rewritten += 1
        self._note.done()
        self._rewriter.rewrite(descriptor, first, b"".join(pieces))
        self._dirty = False  # the rewriter synced
        self._clean = None
        file.connection.executemany("UPDATE message SET disk = ? WHERE mailbox = ? AND uid = ?", places)

    def settle(self, file: AccountFile) -> None:
        """Sync what was appended by the whole batch."""
        if self._dirty and self._lock is not None:
            os.fsync(self._lock.descriptor)
        self._dirty = False

    def release(self) -> None:
        """Let go of the locks."""
        self._note.done()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1

    def contents(self, file: AccountFile, row: MailboxRow, messages: Sequence[MessageRow]) -> dict[int, StoredContent]:
        """Handles on open descriptors' ranges: checked by digest when read, found again when the file was rewritten."""
        return {
            message.uid: CanonicalFile(
                message.size,
                message.header_size,
                _opener(self._spool, Where.parse(message.disk), self._rules),
                self._pool,
            )
            for message in messages
        }

    def remedy(self, file: AccountFile) -> str:
        """The messages are whole; their list can be made anew."""
        return " (an index: move it away, and it is made anew)"

    def load(self, file: AccountFile, row: MailboxRow, message: MessageRow) -> bytes:
        """The whole, in canonical form."""
        where = Where.parse(message.disk)
        raw = os.pread(self._looked_at(), where.end - where.start, where.start)
        return canonical(unwrap(raw[raw.find(b"\n") + 1 :]))

    def close(self) -> None:
        """Nothing is held between batches."""
        self.release()


def _opener(spool: str, where: Where, rules: LockRules) -> Callable[[], tuple[int, Callable[[], bytes]]]:
    def open_raw() -> tuple[int, Callable[[], bytes]]:
        locked = lock_to_read(spool, rules)
        try:
            raw = _read(locked, where)
        finally:
            os.close(locked)
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # the whole message is in memory: no lock is held
        position = 0

        def following() -> bytes:
            nonlocal position
            piece = raw[position : position + 4 * CHUNK]
            position += len(piece)
            return piece

        return descriptor, following

    return open_raw


def _read(descriptor: int, where: Where) -> bytes:
    """The message, wherever it lies now."""
    raw = os.pread(descriptor, where.end - where.start, where.start)
    found = next(messages_of(raw), None)
    if found is not None and found.digest == where.digest and found.end == len(raw):
        return raw_content(raw, found)
    size = os.fstat(descriptor).st_size
    if size:
        with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as data:
            for each in messages_of(data):
                if each.digest == where.digest:
                    return raw_content(data, each)
    raise MailboxFault("the message was removed by another program")


def from_line_date(line: bytes) -> float:
    """The time of a From_ line, local as asctime is; 0 when it cannot be read."""
    words = line.decode("latin-1").split()
    for start in range(len(words) - 4):
        try:
            return time.mktime(time.strptime(" ".join(words[start : start + 5]), "%a %b %d %H:%M:%S %Y"))
        except (ValueError, OverflowError):
            continue
    return 0.0
