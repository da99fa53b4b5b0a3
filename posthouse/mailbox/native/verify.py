"""Whether an account of the native store is what it says: SQLite's own check, counters, contents, files.

Everything is read in one transaction. repair=True puts counters right and removes files that no
row names (a crash between a file and its row leaves them) once they are a day old; a message
whose content is gone is reported and stays, for its file may come back from a backup.
"""

import time
from dataclasses import dataclass

from posthouse.mailbox.flags import DELETED, SEEN
from posthouse.mailbox.index.rows import AccountFile, MailboxRow
from posthouse.mailbox.native.backing import clear_dead_files
from posthouse.mailbox.native.content import ORPHAN_SECONDS
from posthouse.mailbox.native.layout import CONTENT
from posthouse.mailbox.native.store import NativeMailStore


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found."""

    messages: int
    problems: tuple[str, ...]
    """One line each; empty when all is well. With repair, what was wrong before."""


async def verify_account(store: NativeMailStore, account: str, *, repair: bool = False) -> Verification:
    """Check one account."""
    return await store.lane(account).write(lambda file: _verify(file, repair))


def _verify(file: AccountFile, repair: bool) -> Verification:
    connection = file.connection
    problems = [str(text) for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
    total = size = 0
    for row in file.mailboxes():
        counted = _count(file, row)
        kept = [row.messages, row.unseen, row.deleted, row.size, row.deleted_size]
        if kept != counted[:5]:
            problems.append(f"{row.name}: counters are {kept}, should be {counted[:5]}")
            row.messages, row.unseen, row.deleted, row.size, row.deleted_size = counted[:5]
        if counted[5] >= row.uid_next:
            problems.append(f"{row.name}: uid {counted[5]} is not below the next, {row.uid_next}")
            row.uid_next = counted[5] + 1
        if counted[6] > row.modseq:
            problems.append(f"{row.name}: modseq {counted[6]} is above the mailbox's, {row.modseq}")
            row.modseq = counted[6]
        if repair:
            file.save(row)
        total += counted[0]
        size += counted[3]
    if file.used() != (size, total):
        problems.append(f"the account's use is {file.used()}, should be {(size, total)}")
        if repair:
            file.counters.storage, file.counters.messages = size, total
    problems += _contents(file)
    problems += _files(file, repair)
    return Verification(total, tuple(problems))


def _count(file: AccountFile, row: MailboxRow) -> list[int]:
    """Messages, unseen, deleted, size, deleted size, highest uid, highest modseq."""
    query = (
        f"SELECT count(*), sum(flags & {SEEN} = 0), sum(flags & {DELETED} != 0), sum(size),"
        f" sum(CASE WHEN flags & {DELETED} THEN size END), max(uid), max(modseq)"
        " FROM message WHERE mailbox = ?"
    )
    (values,) = file.connection.execute(query, (row.id,)).fetchall()
    return [value if isinstance(value, int) else 0 for value in values]


def _contents(file: AccountFile) -> list[str]:
    """Every message has its content, every content its uses."""
    connection = file.connection
    problems = []
    for mailbox, uid in connection.execute(
        "SELECT mailbox, uid FROM message LEFT JOIN content ON content.id = message.content WHERE content.id IS NULL"
    ):
        problems.append(f"mailbox {mailbox} uid {uid}: its content is gone")
    for content, uses, counted in connection.execute(
        "SELECT content.id, coalesce(shared.uses, 1), count(message.uid) FROM content"
        " LEFT JOIN shared ON shared.content = content.id LEFT JOIN message ON message.content = content.id"
        " GROUP BY content.id HAVING coalesce(shared.uses, 1) != count(message.uid)"
    ):
        problems.append(f"content {content}: used {counted} times, counted as {uses}")
    for uid, size, length in connection.execute(
        "SELECT uid, size, length(data) FROM message JOIN content ON content.id = message.content"
        " WHERE file IS NULL AND length(data) != size"
    ):
        problems.append(f"uid {uid}: {length} octets of content, {size} in its row")
    return problems


def _files(file: AccountFile, repair: bool) -> list[str]:
    """Every named file is there in full; files nobody names are old or go."""
    folder = file.folder / CONTENT
    problems = []
    named = set()
    for name, size in file.connection.execute(
        "SELECT file, max(size) FROM content JOIN message ON message.content = content.id"
        " WHERE file IS NOT NULL GROUP BY file"
    ):
        named.add(name)
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            problems.append(f"content file {name} is missing or has not {size} octets")
    named |= {name for (name,) in file.connection.execute("SELECT file FROM dead_file")}
    if repair:
        clear_dead_files(file)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in named and time.time() - path.stat().st_mtime > ORPHAN_SECONDS:
            problems.append(f"content file {path.name} belongs to no message")
            if repair:
                file.after_commit.append(path.unlink)
    return problems
