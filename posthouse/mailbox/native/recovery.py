"""After the power went: what the ledgers of dead processes hold and their accounts lost, made anew.

A commit without a sync can be lost only together with all that came after it: each account lacks
the newest deposits at most, and any commit that is synced makes those before it durable. So a
message whose uid is below the mailbox's next is there (or was, and is expunged), and the others get the
very numbers that their readers have seen.

Done by the first who opens the store, before it opens an account; whoever comes meanwhile waits. After
a mere kill -9 nothing is found to do: what was committed is in the kernel's memory. A deposit that its
account does not have was acknowledged to nobody then, and is delivered all the same.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import apsw

from posthouse.host.locks import FileLock, take_lock
from posthouse.mailbox.flags import SEEN
from posthouse.mailbox.index.schema import open_database
from posthouse.mailbox.native.deposit import Deposit, Letter
from posthouse.mailbox.native.layout import DATABASE, account_folder, sync_folder
from posthouse.mailbox.native.ledger import LEDGER, SUFFIX, read_rounds
from posthouse.mailbox.store import MailboxFault

LOCK = "recovery.lock"


def recover(directory: Path) -> list[str]:
    """Bring the accounts up to the ledgers; what could not be done, a line each (its ledger stays). Raises
    MailboxFault."""
    folder = directory / LEDGER
    if not folder.is_dir():
        return []
    try:
        one_at_a_time = take_lock(str(folder / LOCK), wait=True)
        assert one_at_a_time is not None, "it was waited for"
        try:
            return _recover(directory, folder)
        finally:
            one_at_a_time.release()
    except OSError as error:
        raise MailboxFault(f"{folder}: {error.strerror}") from error


def _recover(directory: Path, folder: Path) -> list[str]:
    locks: dict[Path, FileLock] = {}
    try:
        for name in sorted(os.listdir(folder)):
            if name.endswith(SUFFIX):
                lock = take_lock(str(folder / name))
                if lock is not None:  # else its process lives: what it committed is in memory
                    locks[folder / name] = lock
        found: dict[str, list[tuple[float, Deposit, Path]]] = {}
        for path in locks:
            for each in read_rounds(path.read_bytes()):
                for deposit in each.deposits:
                    found.setdefault(deposit.account, []).append((each.time, deposit, path))
        problems: list[str] = []
        kept: set[Path] = set()
        for account, entries in sorted(found.items()):
            try:
                _bring_up(account_folder(directory, account), account, [(time, each) for time, each, _ in entries])
            except (MailboxFault, apsw.Error, OSError) as error:
                kept |= {path for _, _, path in entries}
                problems.append(f"{account}: deliveries of before the crash wait in {folder}: {error}")
        for path in locks.keys() - kept:
            path.unlink(missing_ok=True)
        if locks:
            sync_folder(folder)
        return problems
    finally:
        for lock in locks.values():
            lock.release()


def _bring_up(folder: Path, account: str, entries: Sequence[tuple[float, Deposit]]) -> None:
    """One account."""
    if not (folder / DATABASE).exists():
        return  # it was made durable before anything was put in: somebody has removed it since
    connection = open_database(folder / DATABASE, account, "native")
    try:
        connection.execute("BEGIN IMMEDIATE")
        _Replay(connection).run(entries)
        connection.execute("COMMIT")
        # Where there was nothing to do nothing was synced; then what the dead process committed still is not.
        connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    finally:
        if not connection.getautocommit():
            connection.execute("ROLLBACK")
        connection.close()


class _Replay:
    """Within one transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._made: set[tuple[int, int]] = set()
        """Mailboxes and uids that were put here."""
        self._modseqs: set[int] = set()

    def run(self, entries: Sequence[tuple[float, Deposit]]) -> None:
        """All deposits of the account, whatever their order."""
        claims: dict[tuple[int, int], tuple[Deposit, Letter]] = {}
        beaten: list[tuple[tuple[int, int], Deposit, Letter]] = []
        for _, deposit in sorted(entries, key=lambda entry: entry[0]):
            for uid, letter in enumerate(deposit.letters, deposit.first_uid):
                place = (deposit.mailbox, uid)
                if place in claims and claims[place][1].data != letter.data:
                    beaten.append((place, *claims[place]))
                claims[place] = (deposit, letter)
        for (_, uid), (deposit, letter) in sorted(claims.items(), key=lambda entry: (entry[1][0].modseq, entry[0])):
            self._put(deposit, letter, uid)
        for place, deposit, letter in beaten:
            # One of the two was given up before its commit (a full disk, kill -9), and the other got its number. Where
            # that one is missing nothing tells which it was: both are delivered.
            if place in self._made:
                self._put(deposit, letter, 0)

    def _put(self, deposit: Deposit, letter: Letter, uid: int) -> None:
        """Under this uid, unless it was given before; 0: under a new one."""
        connection = self._connection
        query = "SELECT uid_next FROM mailbox WHERE id = ? AND uid_validity = ?"
        uid_next = connection.execute(query, (deposit.mailbox, deposit.uid_validity)).get
        if not isinstance(uid_next, int) or 0 < uid < uid_next:
            return  # the mailbox was deleted, by a commit that was synced; or the message is there
        ((highest, content),) = connection.execute("SELECT modseq, next_content FROM account").fetchall()
        assert isinstance(highest, int) and isinstance(content, int)
        modseq = deposit.modseq
        if not uid or (modseq <= highest and modseq not in self._modseqs):
            modseq = highest + 1
        if uid:
            content = max(content, deposit.first_content + uid - deposit.first_uid)
        uid = uid or uid_next
        connection.execute("INSERT INTO content VALUES (?, NULL, ?)", (content, letter.data))
        connection.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, '', ?, ?, ?, ?, '')",
            (deposit.mailbox, uid, modseq, content, letter.flags, letter.internal_date, deposit.save_date, letter.size,
             letter.header_size),
        )  # fmt: skip
        connection.execute(
            "UPDATE mailbox SET uid_next = ?, messages = messages + 1, unseen = unseen + ?, size = size + ?, modseq = ?"
            " WHERE id = ?",
            (uid + 1, int(not letter.flags & SEEN), letter.size, modseq, deposit.mailbox),
        )
        connection.execute(
            "UPDATE account SET modseq = ?, next_content = ?, messages = messages + 1, storage = storage + ?",
            (modseq, content + 1, letter.size),
        )
        self._made.add((deposit.mailbox, uid))
        self._modseqs.add(modseq)
