"""What is done to messages, inside one transaction: uids given, flags changed, messages removed.

Each function leaves the mailbox's counters right and saves the row. Disk comes first and the
database after it where messages are files of their own (see index/backing.py): a crash between
the two leaves what the next look at the disk puts right.

Standards: RFC 3501 section 2.3.1.1; RFC 7162 sections 3.1 and 3.2.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from posthouse.host.many_rows import insert_rows
from posthouse.mailbox.flags import DELETED, MAILBOX_KEYWORDS, SEEN, decode_flags, encode_flags
from posthouse.mailbox.index.rows import UID_PAGE, AccountFile, Incoming, MailboxRow, MessageRow
from posthouse.mailbox.store import Changes, FlagsRow, FlagsStored, Refusal, Refused

# RFC 3501 section 2.3.1.1: 32 bits. A mailbox that came there would need a new uid_validity.
UID_LIMIT = 0xFFFF_FFFF
# Expunged uids remembered in a mailbox: a client that was away for more compares all uids.
TOMBSTONES = 50_000


def pages(uids: Iterable[int]) -> Iterator[list[int]]:
    """Sorted, unique, in pages that one query takes."""
    wanted = sorted(set(uids))
    for start in range(0, len(wanted), UID_PAGE):
        yield wanted[start : start + UID_PAGE]


def insert(file: AccountFile, row: MailboxRow, incoming: Sequence[Incoming]) -> list[int] | Refused:
    """Give uids. The contents are there already."""
    if not incoming:
        return []
    if row.uid_next + len(incoming) > UID_LIMIT:
        return Refused(Refusal.LIMIT, "the mailbox has used all its uids")
    modseq = file.next_modseq()
    now = file.clock()
    uids = list(range(row.uid_next, row.uid_next + len(incoming)))
    insert_rows(
        file.connection,
        "INSERT INTO message",
        [
            (
                row.id,
                uid,
                modseq,
                new.content,
                new.flags,
                learn_keywords(file, row, new.keywords) if new.keywords else "",
                new.internal_date,
                now,
                new.size,
                new.header_size,
                new.disk,
            )
            for uid, new in zip(uids, incoming, strict=True)
        ],
    )
    size = 0
    for new in incoming:
        size += new.size
        row.unseen += not new.flags & SEEN
        if new.flags & DELETED:
            row.deleted += 1
            row.deleted_size += new.size
    row.uid_next += len(incoming)
    row.messages += len(incoming)
    row.size += size
    row.modseq = modseq
    file.save(row)
    file.add_used(size, len(incoming))
    return uids


def learn_keywords(file: AccountFile, row: MailboxRow, keywords: str) -> str:
    """Keywords in the spelling this mailbox knows; new ones are learnt while there is room, others left out."""
    known = dict(file.connection.execute("SELECT folded, name FROM keyword WHERE mailbox = ?", (row.id,)))
    spelled = []
    for name in keywords.split(" "):
        folded = name.lower()
        if folded not in known:
            if len(known) >= MAILBOX_KEYWORDS:
                continue
            file.connection.execute("INSERT INTO keyword VALUES (?, ?, ?)", (row.id, folded, name))
            known[folded] = name
        spelled.append(known[folded])
    return " ".join(spelled)


def change_flags(
    file: AccountFile, row: MailboxRow, changes: Sequence[tuple[MessageRow, int, str]], *, seen_on_disk: bool = False
) -> int:
    """Write new flags and keywords of messages that differ; the rows are brought up to date. Gives the modseq.

    seen_on_disk: that is where they come from.
    """
    if not changes:
        return row.modseq
    modseq = file.next_modseq()
    for message, bits, keywords in changes:
        if not seen_on_disk:
            message.disk = file.backing.flags_changed(file, row, message, bits, keywords)
        row.unseen += bool(message.flags & SEEN) - bool(bits & SEEN)
        deleted = bool(bits & DELETED) - bool(message.flags & DELETED)
        row.deleted += deleted
        row.deleted_size += deleted * message.size
        message.flags, message.keywords, message.modseq = bits, keywords, modseq
    file.connection.executemany(
        "UPDATE message SET flags = ?, keywords = ?, modseq = ?, disk = ? WHERE mailbox = ? AND uid = ?",
        [(message.flags, message.keywords, modseq, message.disk, row.id, message.uid) for message, _, _ in changes],
    )
    row.modseq = modseq
    file.save(row)
    return modseq


def store_flags(
    file: AccountFile,
    row: MailboxRow,
    uids: Iterable[int],
    mode: Literal["add", "remove", "replace"],
    flags: frozenset[str],
    unchanged_since: int | None,
) -> FlagsStored:
    """STORE, with RFC 7162 section 3.1.3's UNCHANGEDSINCE."""
    bits, keywords = encode_flags(flags)
    if keywords and mode != "remove":
        keywords = learn_keywords(file, row, keywords)
    words = set(keywords.split(" ")) if keywords else set()
    lowered = {word.lower() for word in words}
    kept: list[MessageRow] = []
    conflicts: list[int] = []
    changes: list[tuple[MessageRow, int, str]] = []
    for page in pages(uids):
        for message in file.messages(row.id, page):
            if unchanged_since is not None and message.modseq > unchanged_since:
                conflicts.append(message.uid)
                continue
            kept.append(message)
            old = message.keywords.split(" ") if message.keywords else []
            if mode == "add":
                new_bits, new_words = message.flags | bits, {*old, *words}
            elif mode == "remove":
                new_bits, new_words = message.flags & ~bits, {word for word in old if word.lower() not in lowered}
            else:
                new_bits, new_words = bits, words
            new_keywords = " ".join(sorted(new_words, key=str.lower))
            if new_bits != message.flags or new_keywords != message.keywords:
                changes.append((message, new_bits, new_keywords))
    change_flags(file, row, changes)
    rows = [FlagsRow(each.uid, each.modseq, decode_flags(each.flags, each.keywords)) for each in kept]
    return FlagsStored(rows, conflicts)


def drop(file: AccountFile, row: MailboxRow, messages: Sequence[MessageRow]) -> None:
    """Forget messages whose contents are gone, or are no longer this mailbox's: tombstones stay."""
    if not messages:
        return
    modseq = file.next_modseq()
    size = 0
    for message in messages:
        size += message.size
        row.unseen -= not message.flags & SEEN
        if message.flags & DELETED:
            row.deleted -= 1
            row.deleted_size -= message.size
    keys = [(row.id, message.uid) for message in messages]
    file.connection.executemany("DELETE FROM message WHERE mailbox = ? AND uid = ?", keys)
    file.connection.executemany(
        "INSERT INTO tombstone VALUES (?, ?, ?)", [(row.id, modseq, message.uid) for message in messages]
    )
    row.messages -= len(messages)
    row.size -= size
    row.modseq = modseq
    row.tombstones += len(messages)
    if row.tombstones > TOMBSTONES:
        _forget_tombstones(file, row)
    file.save(row)
    file.add_used(-size, -len(messages))


def _forget_tombstones(file: AccountFile, row: MailboxRow) -> None:
    """Keep the newer half; whoever asks for older changes is told that they are incomplete."""
    floor = file.connection.execute(
        "SELECT modseq FROM tombstone WHERE mailbox = ? ORDER BY modseq DESC LIMIT 1 OFFSET ?",
        (row.id, TOMBSTONES // 2),
    ).get
    assert isinstance(floor, int)
    file.connection.execute("DELETE FROM tombstone WHERE mailbox = ? AND modseq <= ?", (row.id, floor))
    row.vanished_floor = floor
    row.tombstones = file.connection.execute("SELECT count(*) FROM tombstone WHERE mailbox = ?", (row.id,)).get


def expunge(file: AccountFile, row: MailboxRow, uids: Iterable[int] | None, only_deleted: bool) -> list[int]:
    """Remove messages: with \\Deleted only, or whatever their flags. Gives the uids that went."""
    doomed: list[MessageRow] = []
    if uids is None:
        doomed = [each for each in file.messages(row.id) if each.flags & DELETED] if row.deleted else []
    else:
        for page in pages(uids):
            doomed += [each for each in file.messages(row.id, page) if each.flags & DELETED or not only_deleted]
    if doomed:
        file.backing.remove(file, row, doomed)
        drop(file, row, doomed)
    return [each.uid for each in doomed]


def changes(file: AccountFile, row: MailboxRow, since: int) -> Changes:
    """RFC 7162 section 3.2: what a session (or a client that comes back) does not know yet."""
    if row.modseq <= since:
        return Changes(row.modseq, row.uid_next, (), ())
    changed = file.changed_since(row.id, since)
    vanished = [
        uid
        for (uid,) in file.connection.execute(
            "SELECT uid FROM tombstone WHERE mailbox = ? AND modseq > ? ORDER BY uid", (row.id, since)
        )
    ]
    return Changes(row.modseq, row.uid_next, changed, vanished, complete=since >= row.vanished_floor)
