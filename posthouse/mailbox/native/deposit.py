"""A few deliveries to one mailbox as one SQL statement, which is its own transaction.

Each statement gives the interpreter's lock away, and a busy event loop takes up to a switch
interval to give it back: the ten statements of a transaction cost more than their work. So the
rows are reckoned beforehand from what the account was after our last commit, and go into a
view whose triggers first compare: where somebody else has changed the account meanwhile nothing
happens, and the deliveries go the long way (index/lane.py).

Only what is usual goes this way: contents that lie in their rows, a mailbox that is there, no
keywords, no \\Deleted, within the quota.
"""

from collections.abc import Sequence

import apsw
import msgspec

from posthouse.mailbox.flags import DELETED, SEEN
from posthouse.mailbox.index.delivery import Delivery
from posthouse.mailbox.index.messages import UID_LIMIT
from posthouse.mailbox.index.rows import AccountFile, Known, MailboxRow
from posthouse.mailbox.index.schema import BUSY_MILLISECONDS
from posthouse.mailbox.native.content import NativeDraft
from posthouse.mailbox.store import Delivered

MOST = 128
"""Deliveries in one statement: eleven values each, SQLite takes 32,766."""
PATIENCE = 100
"""Milliseconds to wait for another process's transaction: others of the same round wait, too."""

# Rows of step 0 compare, of step 1 are messages, of step 2 count them; others fill up, so that few statements differ.
_COLUMNS = 11
_SET_UP = """
CREATE TEMP VIEW deposit AS SELECT 0 AS step, 0 AS mailbox, 0 AS uid, 0 AS modseq, 0 AS content, 0 AS flags,
    0 AS internal_date, 0 AS save_date, 0 AS size, 0 AS header_size, 0 AS data;
CREATE TEMP TRIGGER deposit_compares INSTEAD OF INSERT ON deposit WHEN NEW.step = 0 BEGIN
    SELECT RAISE(ABORT, 'changed') WHERE NOT EXISTS (
        SELECT 1 FROM account WHERE modseq = NEW.modseq - 1 AND next_content = NEW.content)
    OR NOT EXISTS (
        SELECT 1 FROM mailbox WHERE id = NEW.mailbox AND uid_next = NEW.uid AND uid_validity = NEW.flags
        AND name = NEW.data AND selectable);
END;
CREATE TEMP TRIGGER deposit_puts INSTEAD OF INSERT ON deposit WHEN NEW.step = 1 BEGIN
    INSERT INTO content VALUES (NEW.content, NULL, NEW.data);
    INSERT INTO message VALUES (NEW.mailbox, NEW.uid, NEW.modseq, NEW.content, NEW.flags, '', NEW.internal_date,
        NEW.save_date, NEW.size, NEW.header_size, '');
END;
CREATE TEMP TRIGGER deposit_counts INSTEAD OF INSERT ON deposit WHEN NEW.step = 2 BEGIN
    UPDATE mailbox SET uid_next = uid_next + NEW.uid, messages = messages + NEW.uid, unseen = unseen + NEW.flags,
        size = size + NEW.size, modseq = NEW.modseq WHERE id = NEW.mailbox;
    UPDATE account SET modseq = NEW.modseq, next_content = next_content + NEW.uid, messages = messages + NEW.uid,
        storage = storage + NEW.size;
END;
"""
_FILL = (None,) * _COLUMNS


def _statement(rows: int) -> str:
    mark = "(" + ",".join("?" * _COLUMNS) + ")"
    return "INSERT INTO deposit VALUES" + ",".join([mark] * rows)


_STATEMENTS = {2 + (1 << power): _statement(2 + (1 << power)) for power in range(MOST.bit_length())}


class Letter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message of a deposit."""

    flags: int
    internal_date: float
    size: int
    header_size: int
    data: bytes


class Deposit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Messages for one mailbox, and the numbers they will have."""

    account: str
    mailbox: int
    name: str
    uid_validity: int
    first_uid: int
    modseq: int
    first_content: int
    save_date: float
    letters: tuple[Letter, ...]


def plan(file: AccountFile, deliveries: Sequence[Delivery]) -> Deposit | None:
    """Number the deliveries, all to one mailbox; None when they must go the long way. Raises apsw.Error."""
    name = deliveries[0].name
    if len(deliveries) > MOST or not _is_text(file.account + name):
        return None
    if not file.takes_deposits:
        file.connection.pragma("temp_store", "memory")
        file.connection.execute(_SET_UP)
        file.takes_deposits = True
    known = file.known
    if known is None:
        file.forget_counters()
        known = file.known = Known(file.counters)
        file.forget_counters()
    row = known.mailboxes.get(name)
    if row is None:
        row = file.mailbox(name)
        if row is None or not row.selectable:
            return None
        known.mailboxes[name] = row
    now = file.clock()
    size = 0
    letters = []
    for delivery in deliveries:
        draft = delivery.draft
        assert isinstance(draft, NativeDraft)
        if draft.path is not None or draft.data is None or delivery.keywords or delivery.flags & DELETED:
            return None
        date = now if delivery.date is None else delivery.date
        letters.append(Letter(delivery.flags, date, draft.size, draft.header_size, draft.data))
        size += draft.size
    if not _fits(file, known, size, len(letters)) or row.uid_next + len(letters) > UID_LIMIT:
        return None
    counters = known.counters
    return Deposit(
        file.account, row.id, name, row.uid_validity, row.uid_next, counters.modseq + 1, counters.next_content, now,
        tuple(letters),
    )  # fmt: skip


def _is_text(name: str) -> bool:
    """Whether the ledger can hold it: octets that are no UTF-8 it cannot."""
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            return False
    return True


def _fits(file: AccountFile, known: Known, size: int, messages: int) -> bool:
    limits, used = file.limits, known.counters
    return not (
        (limits.storage and used.storage + size > limits.storage)
        or (limits.messages and used.messages + messages > limits.messages)
    )


def make(file: AccountFile, deposit: Deposit) -> list[Delivered] | None:
    """Commit it, synced or not as the file is set; None when nothing happened: somebody else changed the account, or it
    cannot be written now."""
    letters = deposit.letters
    count, size = len(letters), sum([letter.size for letter in letters])
    mailbox, modseq, content, uid = deposit.mailbox, deposit.modseq, deposit.first_content, deposit.first_uid
    values: list[object] = [0, mailbox, uid, modseq, content, deposit.uid_validity, 0, 0, 0, 0, deposit.name]
    unseen = 0
    for number, each in enumerate(letters):
        unseen += not each.flags & SEEN
        values += (
            1, mailbox, uid + number, modseq, content + number, each.flags, each.internal_date, deposit.save_date,
            each.size, each.header_size, each.data,
        )  # fmt: skip
    values += (2, mailbox, count, modseq, 0, unseen, 0, 0, size, 0, None)
    rows = 2 + (1 << (count - 1).bit_length())
    values += _FILL * (rows - count - 2)
    file.connection.set_busy_timeout(PATIENCE)
    try:
        file.connection.execute(_STATEMENTS[rows], values)
    except apsw.Error:
        file.known = None
        return None
    finally:
        file.connection.set_busy_timeout(BUSY_MILLISECONDS)
    if not file.synced:
        file.owing = True
    assert file.known is not None, "plan() made it"
    _advance(file.known, file.known.mailboxes[deposit.name], count, size)
    return [Delivered(deposit.name, deposit.uid_validity, uid + number, False) for number in range(count)]


def _advance(known: Known, row: MailboxRow, count: int, size: int) -> None:
    counters = known.counters
    counters.modseq += 1
    counters.next_content += count
    counters.storage += size
    counters.messages += count
    row.uid_next += count
