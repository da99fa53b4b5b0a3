"""Maildir++ beneath the rows: the disk says which messages there are and what flags they have.

A delivery is written to tmp/, synced, renamed into new/ (or cur/ when it has flags), and its
folder synced, before the index's commit. Changes are made on disk first. A look at a mailbox
whose folders' times have not changed since the last one costs two stats.

Standards: maildir(5); Courier's Maildir++ (folders).
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from posthouse.mailbox.canonical import canonical
from posthouse.mailbox.index import folders
from posthouse.mailbox.index.backing import Arrival, StoredDraft
from posthouse.mailbox.index.files import HOP, CanonicalFile, FileDraft, measure, pieces_of
from posthouse.mailbox.index.messages import change_flags, drop, insert
from posthouse.mailbox.index.rows import AccountFile, Incoming, MailboxRow, MessageRow
from posthouse.mailbox.maildir.names import folder_of, name_of, read_letters, split_name, write_letters
from posthouse.mailbox.names import spell_name
from posthouse.mailbox.native.layout import sync_folder
from posthouse.mailbox.store import Refusal, Refused, StoredContent

# A folder's time that is younger than this may hide a change made in the same tick of the kernel's clock.
TICK = 0.05
KEYWORDS = "dovecot-keywords"
UIDLIST = "dovecot-uidlist"


class MaildirBacking:
    """See index/backing.py."""

    kind = "maildir"
    disk_is_truth = True
    has_modseq = True
    has_folders = True

    def __init__(self, root: Path, pool: Executor, new_name: Callable[[], str]) -> None:
        self._root = root
        self._pool = pool
        self._new_name = new_name
        self._clean: dict[int, tuple[object, int]] = {}  # mailbox -> times of its folders and modseq when last read
        self._root_time = -1
        self._dirty: set[Path] = set()
        self._doomed: dict[Path, set[str]] = {}  # folder -> bases that go once the batch is committed

    def _folder(self, disk: str) -> Path:
        return self._root / disk if disk else self._root

    # Folders

    def refresh_folders(self, file: AccountFile) -> None:
        """Folders that others made or removed."""
        changed = self._root.stat().st_mtime_ns
        if changed == self._root_time and time.time() - changed / 1e9 > TICK:
            return
        self._root_time = changed
        on_disk = {
            entry.name
            for entry in os.scandir(self._root)
            if entry.name.startswith(".") and entry.name not in (".", "..") and (Path(entry.path) / "cur").is_dir()
        }
        rows = {row.disk: row for row in file.mailboxes() if row.selectable and row.name != "INBOX"}
        for disk in sorted(rows.keys() - on_disk):
            row = rows[disk]
            drop(file, row, file.messages(row.id))
            folders.forget(file, row)
        for disk in sorted(on_disk - rows.keys()):
            name = name_of(disk)
            spelled = spell_name(name) if name else None
            if isinstance(spelled, str) and folder_of(spelled) == disk and file.mailbox(spelled) is None:
                folders.add_row(file, spelled, disk)

    def make_folder(self, file: AccountFile, name: str) -> str | Refused:
        """cur, new, tmp, and the mark of a folder."""
        disk = folder_of(name)
        if len(os.fsencode(disk)) > 255:
            return Refused(Refusal.LIMIT, "the mailbox name is too long for a Maildir")
        folder = self._folder(disk)
        folder.mkdir(mode=0o700, exist_ok=True)
        for each in ("tmp", "new", "cur"):
            (folder / each).mkdir(mode=0o700, exist_ok=True)
        (folder / "maildirfolder").touch(mode=0o600)
        sync_folder(folder)
        sync_folder(self._root)
        return disk

    def rename_folder(self, file: AccountFile, row: MailboxRow, new_name: str) -> str | Refused:
        """One rename."""
        disk = folder_of(new_name)
        if len(os.fsencode(disk)) > 255:
            return Refused(Refusal.LIMIT, "the mailbox name is too long for a Maildir")
        old, new = self._folder(row.disk), self._folder(disk)
        os.rename(old, new)
        file.undo.append(lambda: os.rename(new, old))
        sync_folder(self._root)
        return disk

    def delete_folder(self, file: AccountFile, row: MailboxRow) -> Refused | None:
        """Everything of ours in it; a folder that holds more stays, without cur."""
        folder = self._folder(row.disk)
        for each in ("tmp", "new", "cur"):
            for path in (folder / each).glob("*"):
                path.unlink(missing_ok=True)
            (folder / each).rmdir()
        for path in folder.iterdir():
            if path.is_file():
                path.unlink()
        try:
            folder.rmdir()
        except OSError:
            pass  # something of somebody else's
        sync_folder(self._root)
        self._clean.pop(row.id, None)
        return None

    # Messages

    def refresh(self, file: AccountFile, row: MailboxRow) -> None:
        """New files get uids, flags are read, what is gone gets tombstones; new/ is emptied into cur/."""
        folder = self._folder(row.disk)
        times = self._times(folder)
        if self._clean.get(row.id) == (times, row.modseq):
            return
        on_disk = self._names(folder)
        keywords = self._keywords(folder)
        gone: list[MessageRow] = []
        changes: list[tuple[MessageRow, int, str]] = []
        moved: list[tuple[str, int, int]] = []
        for message in file.messages(row.id):
            base, old = split_name(message.disk.rpartition("/")[2])
            found = on_disk.pop(base, None)
            if found is None:
                gone.append(message)
            elif found != message.disk:
                message.disk = found
                letters = split_name(found)[1]
                if letters != old:
                    lettered = {word.lower() for word in keywords[:26]} | {"$forwarded"}
                    bits, words = read_letters(letters, keywords)
                    words |= {word for word in message.keywords.split() if word.lower() not in lettered}
                    changes.append((message, bits, " ".join(sorted(words, key=str.lower))))
                else:
                    moved.append((found, row.id, message.uid))
        if gone:
            drop(file, row, gone)
        if changes:
            change_flags(file, row, changes, seen_on_disk=True)
        if moved:
            file.connection.executemany("UPDATE message SET disk = ? WHERE mailbox = ? AND uid = ?", moved)
        self._take_in(file, row, folder, on_disk, keywords)
        if time.time() - max(times) / 1e9 > TICK and times == self._times(folder):
            self._clean[row.id] = (times, row.modseq)

    @staticmethod
    def _times(folder: Path) -> tuple[int, int]:
        return (folder / "cur").stat().st_mtime_ns, (folder / "new").stat().st_mtime_ns

    def _names(self, folder: Path) -> dict[str, str]:
        """Base to "cur/name", after new/ was emptied."""
        found: dict[str, str] = {}
        for name in os.listdir(folder / "new"):
            if name.startswith("."):
                continue
            target = name if ":2," in name else name + ":2,"
            os.rename(folder / "new" / name, folder / "cur" / target)
            self._dirty.update((folder / "new", folder / "cur"))
        doomed = self._doomed.get(folder, ())
        for name in os.listdir(folder / "cur"):
            if not name.startswith(".") and split_name(name)[0] not in doomed:
                found.setdefault(split_name(name)[0], "cur/" + name)
        return found

    def _take_in(
        self, file: AccountFile, row: MailboxRow, folder: Path, names: dict[str, str], keywords: list[str]
    ) -> None:
        """Files without a uid, oldest first; with those of Dovecot's list when this is the first look."""
        if not names:
            return
        known = self._adopt_uidlist(file, row, folder) if row.uid_next == 1 else {}
        incoming: list[tuple[int, Incoming]] = []
        for base, disk in names.items():
            try:
                descriptor = os.open(folder / disk, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue  # gone again, or no file
            try:
                status = os.fstat(descriptor)
                size, header_size = measure(pieces_of(descriptor, 0, None))
            finally:
                os.close(descriptor)
            bits, words = read_letters(split_name(disk)[1], keywords)
            new = Incoming(0, disk, bits, " ".join(sorted(words)), status.st_mtime, size, header_size)
            incoming.append((known.get(base, 1 << 40), new))
        incoming.sort(key=lambda each: (each[0], _arrival(each[1].disk)))
        waiting: list[Incoming] = []
        for uid, new in incoming:
            if uid < 1 << 40:
                row.uid_next = uid
                insert(file, row, [new])
            else:
                waiting.append(new)
        if known:
            row.uid_next = max(row.uid_next, known[""])
        insert(file, row, waiting)

    def _adopt_uidlist(self, file: AccountFile, row: MailboxRow, folder: Path) -> dict[str, int]:
        """Dovecot's uids and validity, so that clients that knew them need not fetch anew. "" is its next uid.

        3 V1700000000 N12 G…        then  11 W2048 :1700000000.M1P2.host,S=2000
        """
        try:
            lines = (folder / UIDLIST).read_text("utf-8", "surrogateescape").splitlines()
        except OSError:
            return {}
        head = re.match(r"3 V(\d{1,10}) N(\d{1,10})(?: |\Z)", lines[0]) if lines else None
        if head is None:
            return {}
        validity = int(head[1])
        known = {"": int(head[2])}
        for line in lines[1:]:
            uid, _space, rest = line.partition(" ")
            _extensions, mark, name = rest.partition(":")
            if mark and uid.isdigit() and 0 < int(uid) < known[""]:
                known[split_name(name)[0]] = int(uid)
        if len(set(known.values())) != len(known) or not folders.adopt_validity(file, row, validity):
            return {}
        return known

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
        """Into new/ as a delivery without flags, else into cur/."""
        assert isinstance(draft, FileDraft)
        assert draft.path is not None
        folder = self._folder(row.disk)
        os.utime(draft.path, (date, date))
        disk = self._place(folder, draft.path.stat().st_size, draft.size, flags, keywords)
        os.rename(draft.path, folder / disk)
        file.undo.append(lambda: os.unlink(folder / disk))
        file.after_commit.append(draft.keep)
        self._dirty.add((folder / disk).parent)
        return Incoming(0, disk, flags, keywords, date, draft.size, draft.header_size)

    def _place(self, folder: Path, octets: int, size: int, flags: int, keywords: str) -> str:
        name = f"{self._new_name()},S={octets},W={size}"
        if not flags and not keywords:
            return "new/" + name
        words = set(keywords.split())
        return f"cur/{name}:2,{write_letters('', flags, words, self._learn(folder, words))}"

    def put_together(self, file: AccountFile, arrivals: Sequence[Arrival]) -> list[Incoming] | None:
        """What one message does to the disk is not undone with the others' rows."""
        return None

    def flags_changed(self, file: AccountFile, row: MailboxRow, message: MessageRow, flags: int, keywords: str) -> str:
        """Rename."""
        folder = self._folder(row.disk)
        words = set(keywords.split())
        base, old = split_name(message.disk.rpartition("/")[2])
        disk = f"cur/{base}:2,{write_letters(old, flags, words, self._learn(folder, words))}"
        if disk != message.disk:
            os.rename(folder / message.disk, folder / disk)
            self._dirty.add(folder / "cur")
        return disk

    def copy(
        self, file: AccountFile, source: MailboxRow, message: MessageRow, target: MailboxRow
    ) -> Incoming | Refused:
        """A second name of the same file: contents never change."""
        origin = self._folder(source.disk) / message.disk
        folder = self._folder(target.disk)
        disk = self._place(folder, origin.stat().st_size, message.size, message.flags, message.keywords)
        os.link(origin, folder / disk)
        file.undo.append(lambda: os.unlink(folder / disk))
        self._dirty.add((folder / disk).parent)
        return Incoming(
            0, disk, message.flags, message.keywords, message.internal_date, message.size, message.header_size
        )

    def remove(self, file: AccountFile, row: MailboxRow, messages: Sequence[MessageRow]) -> None:
        """Unlink, after the commit: one that fails must leave everything, above all a message that moves. What was
        copied elsewhere is synced there before (settle)."""
        folder = self._folder(row.disk)
        doomed = self._doomed.setdefault(folder, set())
        bases = [split_name(message.disk.rpartition("/")[2])[0] for message in messages]
        doomed.update(bases)
        file.undo.append(lambda: doomed.difference_update(bases))
        paths = [folder / message.disk for message in messages]

        def unlink() -> None:
            for path in paths:
                path.unlink(missing_ok=True)
            doomed.difference_update(bases)
            if (folder / "cur").is_dir():
                sync_folder(folder / "cur")

        file.after_commit.append(unlink)

    def settle(self, file: AccountFile) -> None:
        """Make the names durable."""
        self._sync()

    def release(self) -> None:
        """Nothing is held."""

    def flush(self, file: AccountFile, row: MailboxRow) -> None:
        """Everything is on disk already."""

    def _sync(self) -> None:
        while self._dirty:
            folder = self._dirty.pop()
            if folder.is_dir():
                sync_folder(folder)

    def contents(self, file: AccountFile, row: MailboxRow, messages: Sequence[MessageRow]) -> dict[int, StoredContent]:
        """Handles that find their file again when its flags change meanwhile."""
        folder = self._folder(row.disk)
        return {
            message.uid: CanonicalFile(message.size, message.header_size, _opener(folder, message.disk), self._pool)
            for message in messages
        }

    def remedy(self, file: AccountFile) -> str:
        """The messages are whole; their list can be made anew."""
        return " (an index: move it away, and it is made anew)"

    def load(self, file: AccountFile, row: MailboxRow, message: MessageRow) -> bytes:
        """The whole, in canonical form."""
        return canonical((self._folder(row.disk) / message.disk).read_bytes())

    # Keywords

    def _keywords(self, folder: Path) -> list[str]:
        """Lines "number name" of dovecot-keywords."""
        try:
            lines = (folder / KEYWORDS).read_text("utf-8", "replace").splitlines()
        except OSError:
            return []
        found = [""] * 26
        for line in lines:
            number, _space, name = line.partition(" ")
            if number.isdigit() and int(number) < 26:
                found[int(number)] = name
        while found and not found[-1]:
            found.pop()
        return found

    def _learn(self, folder: Path, words: set[str]) -> list[str]:
        """Give letters to new keywords while there are letters; others live in the index alone."""
        known = self._keywords(folder)
        missing = [word for word in sorted(words) if word.lower() not in {each.lower() for each in known}]
        missing = [word for word in missing if word.lower() != "$forwarded"][: 26 - len(known)]
        if missing:
            known += missing
            text = "".join(f"{number} {name}\n" for number, name in enumerate(known) if name)
            temporary = folder / f"{KEYWORDS}.{os.getpid()}"
            temporary.write_text(text)
            os.replace(temporary, folder / KEYWORDS)
        return known

    def close(self) -> None:
        """No files are held."""


def _arrival(disk: str) -> tuple[int, str]:
    """Order of files without a uid: the seconds their names begin with."""
    name = disk.rpartition("/")[2]
    seconds = name.partition(".")[0]
    return (int(seconds) if seconds.isdigit() and len(seconds) < 15 else 0), name


def _opener(folder: Path, disk: str) -> Callable[[], tuple[int, Callable[[], bytes]]]:
    def open_raw() -> tuple[int, Callable[[], bytes]]:
        try:
            descriptor = os.open(folder / disk, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            descriptor = os.open(_again(folder, disk), os.O_RDONLY | os.O_CLOEXEC)
        return descriptor, lambda: os.read(descriptor, HOP)

    return open_raw


def _again(folder: Path, disk: str) -> Path:
    """The file under the name it has now."""
    base = split_name(disk.rpartition("/")[2])[0]
    for each in ("cur", "new"):
        for name in os.listdir(folder / each):
            if split_name(name)[0] == base:
                return folder / each / name
    raise FileNotFoundError(f"{folder / disk} was removed")
