"""What is done to mailboxes as a whole, inside one transaction: made, deleted, renamed, listed.

Standards: RFC 3501 sections 6.3.3 to 6.3.9; RFC 6154; RFC 5258 section 3 (NonExistent, children).
"""

import time

from posthouse.mailbox.index.messages import drop
from posthouse.mailbox.index.rows import AccountFile, MailboxRow
from posthouse.mailbox.index.transfer import transfer
from posthouse.mailbox.names import parents
from posthouse.mailbox.store import SEPARATOR, MailboxInfo, Refusal, Refused

# Mailboxes of one account: LIST answers with all of them.
MAILBOXES = 10_000

NO_MAILBOX = Refused(Refusal.NONEXISTENT, "Mailbox doesn't exist")
ONE_MAILBOX = Refused(Refusal.CANNOT, "an mbox spool holds INBOX only")
HAS_IT = Refused(Refusal.ALREADY_EXISTS, "Mailbox already exists")


def no_mailbox(file: AccountFile) -> Refused:
    """Why a mailbox is not there: a client that may hear TRYCREATE must be able to create it."""
    return NO_MAILBOX if file.backing.has_folders else ONE_MAILBOX


def list_mailboxes(file: AccountFile) -> list[MailboxInfo]:
    """All names, INBOX first."""
    subscribed = {name for (name,) in file.connection.execute("SELECT name FROM subscription")}
    rows = file.mailboxes()
    names = {row.name for row in rows}
    above = {parent for name in names for parent in parents(name)}
    infos = [
        MailboxInfo(
            row.name,
            row.name in subscribed,
            selectable=row.selectable,
            special_use=row.special_use,
            mailbox_id=row.mailbox_id if row.selectable else "",
            has_children=row.name in above,
            may_have_children=file.backing.has_folders,
        )
        for row in rows
    ]
    infos += [
        MailboxInfo(name, name in subscribed, selectable=False, has_children=True) for name in sorted(above - names)
    ]
    infos += [MailboxInfo(name, True, selectable=False, exists=False) for name in subscribed - names - above]
    return sorted(infos, key=lambda info: (info.name != "INBOX", info.name))


def create(file: AccountFile, name: str, special_use: str = "") -> MailboxRow | Refused:
    """A new mailbox and, as RFC 3501 section 6.3.3 suggests, the missing ones above it."""
    if special_use and _use_is_taken(file, special_use):
        return Refused(Refusal.ALREADY_EXISTS, f"another mailbox is {special_use}")
    for above in parents(name):
        if file.mailbox(above) is None:
            made = _create_one(file, above)
            if isinstance(made, Refused):
                return made
    found = file.mailbox(name)
    if found is not None:
        if found.selectable:
            return HAS_IT
        disk = file.backing.make_folder(file, name)
        if isinstance(disk, Refused):
            return disk
        file.connection.execute(
            "UPDATE mailbox SET selectable = 1, disk = ?, uid_validity = ?, special_use = ? WHERE id = ?",
            (disk, _new_validity(file), special_use, found.id),
        )
        again = file.mailbox(name)
        assert again is not None
        return again
    return _create_one(file, name, special_use)


def _create_one(file: AccountFile, name: str, special_use: str = "") -> MailboxRow | Refused:
    if file.connection.execute("SELECT count(*) FROM mailbox").get >= MAILBOXES:
        return Refused(Refusal.LIMIT, f"an account has at most {MAILBOXES} mailboxes")
    disk = file.backing.make_folder(file, name)
    if isinstance(disk, Refused):
        return disk
    return add_row(file, name, disk, special_use)


def add_row(file: AccountFile, name: str, disk: str, special_use: str = "") -> MailboxRow:
    """A mailbox that is on disk."""
    modseq = file.next_modseq()
    file.connection.execute(
        "INSERT INTO mailbox(name, uid_validity, modseq, vanished_floor, special_use, disk) VALUES (?, ?, ?, ?, ?, ?)",
        (name, _new_validity(file), modseq, modseq, special_use, disk),
    )
    row = file.mailbox(name)
    assert row is not None
    return row


def _new_validity(file: AccountFile) -> int:
    """Greater than any before in this account, so also than that of a deleted mailbox of the same name."""
    value = max(file.counters.next_uid_validity, int(time.time()))
    file.counters.next_uid_validity = value + 1
    return value & 0xFFFF_FFFF  # RFC 3501 section 2.3.1.1: 32 bits


def _use_is_taken(file: AccountFile, use: str) -> bool:
    return file.connection.execute("SELECT 1 FROM mailbox WHERE special_use = ?", (use,)).get is not None


def delete(file: AccountFile, name: str) -> Refused | None:
    """DELETE. A mailbox with children loses its messages and its being one."""
    row = file.mailbox(name)
    if row is None:
        return NO_MAILBOX
    if name == "INBOX":
        return Refused(Refusal.CANNOT, "INBOX cannot be deleted")
    children = _children(file, name)
    if not row.selectable and children:
        return Refused(Refusal.CANNOT, "the mailbox has children and is no longer selectable")
    empty(file, row)
    refused = file.backing.delete_folder(file, row) if row.selectable else None
    if refused is not None:
        return refused
    file.next_modseq()
    if children:
        # A new number: whoever has the old one selected sees that it is gone.
        file.connection.execute("DELETE FROM mailbox WHERE id = ?", (row.id,))
        made = add_row(file, name, "")
        file.connection.execute("UPDATE mailbox SET selectable = 0 WHERE id = ?", (made.id,))
    else:
        file.connection.execute("DELETE FROM mailbox WHERE id = ?", (row.id,))
        _prune(file, name)
    return None


def _prune(file: AccountFile, name: str) -> None:
    """What was only kept because something lay below it goes with the last of that."""
    for above in reversed(parents(name)):
        row = file.mailbox(above)
        if row is None or row.selectable or _children(file, above):
            return
        file.connection.execute("DELETE FROM mailbox WHERE id = ?", (row.id,))


def empty(file: AccountFile, row: MailboxRow) -> None:
    """Take everything out of a mailbox that goes away."""
    while messages := file.messages(row.id, limit=1000):
        file.backing.remove(file, row, messages)
        drop(file, row, messages)
    for table in ("tombstone", "keyword"):
        file.connection.execute(f"DELETE FROM {table} WHERE mailbox = ?", (row.id,))


def forget(file: AccountFile, row: MailboxRow) -> None:
    """A mailbox that is no longer on disk."""
    for table in ("tombstone", "keyword"):
        file.connection.execute(f"DELETE FROM {table} WHERE mailbox = ?", (row.id,))
    file.connection.execute("DELETE FROM mailbox WHERE id = ?", (row.id,))
    file.next_modseq()


def adopt_validity(file: AccountFile, row: MailboxRow, validity: int) -> bool:
    """Take over the uid_validity another program gave; not when a mailbox of ours has it."""
    used = file.connection.execute("SELECT 1 FROM mailbox WHERE uid_validity = ? AND id != ?", (validity, row.id)).get
    if used is not None or not 0 < validity <= 0xFFFF_FFFF:
        return False
    file.connection.execute("UPDATE mailbox SET uid_validity = ? WHERE id = ?", (validity, row.id))
    row.uid_validity = validity
    return True


def _children(file: AccountFile, name: str) -> list[MailboxRow]:
    start = name + SEPARATOR
    return [row for row in file.mailboxes() if row.name.startswith(start)]


def rename(file: AccountFile, name: str, new_name: str) -> Refused | None:
    """RENAME; uids, uid_validity and mailbox_id go along."""
    row = file.mailbox(name)
    if row is None:
        return NO_MAILBOX
    taken = file.mailbox(new_name)
    if taken is not None and taken.selectable:
        return HAS_IT
    if new_name.startswith(name + SEPARATOR) and name != "INBOX":
        return Refused(Refusal.CANNOT, "a mailbox cannot be moved below itself")
    if name == "INBOX":
        return _rename_inbox(file, row, new_name)
    moving = {each.name: new_name + each.name[len(name) :] for each in (row, *_children(file, name))}
    if any(target != new_name and target not in moving and file.mailbox(target) for target in moving.values()):
        return HAS_IT
    for above in parents(new_name):
        if file.mailbox(above) is None:
            made = _create_one(file, above)
            if isinstance(made, Refused):
                return made
    if taken is not None:  # only kept because something lies below it
        file.connection.execute("DELETE FROM mailbox WHERE id = ?", (taken.id,))
    for each in (row, *_children(file, name)):
        target = moving[each.name]
        disk: str | Refused = ""
        if each.selectable:
            disk = file.backing.rename_folder(file, each, target)
            if isinstance(disk, Refused):
                return disk
        # uid_validity stays: no two mailboxes of an account ever have the same, so the new name cannot be mistaken.
        file.connection.execute("UPDATE mailbox SET name = ?, disk = ? WHERE id = ?", (target, disk, each.id))
    _prune(file, name)
    file.next_modseq()
    return None


def _rename_inbox(file: AccountFile, row: MailboxRow, new_name: str) -> Refused | None:
    """RFC 3501 section 6.3.5: all messages move to a new mailbox; INBOX and its children stay."""
    made = create(file, new_name)
    if isinstance(made, Refused):
        return made
    uids = [message.uid for message in file.messages(row.id)]
    moved = transfer(file, row, uids, made, move=True)
    return moved if isinstance(moved, Refused) else None


def set_special_use(file: AccountFile, name: str, use: str) -> Refused | None:
    """Give or take a use."""
    row = file.mailbox(name)
    if row is None or not row.selectable:
        return NO_MAILBOX
    if use and use != row.special_use and _use_is_taken(file, use):
        return Refused(Refusal.ALREADY_EXISTS, f"another mailbox is {use}")
    file.connection.execute("UPDATE mailbox SET special_use = ? WHERE id = ?", (use, row.id))
    return None


def subscribe(file: AccountFile, names: list[str], subscribed: bool) -> None:
    """Keep or drop names."""
    word = "INSERT OR IGNORE INTO subscription VALUES (?)" if subscribed else "DELETE FROM subscription WHERE name = ?"
    file.connection.executemany(word, [(name,) for name in names])
