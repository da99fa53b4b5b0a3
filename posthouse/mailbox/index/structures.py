"""MIME structures of stored messages: computed in the pool, kept where computing takes long.

A message of the native store's rows (64 KiB at most) is scanned in less time than its structure
would take to write; those of content files are kept once made.
"""

from collections.abc import Sequence

import apsw
import msgspec

from posthouse.mailbox.index.lane import Lane
from posthouse.mailbox.index.messages import pages
from posthouse.mailbox.index.rows import AccountFile, MailboxRow, MessageRow
from posthouse.mailbox.store import MailboxFault
from posthouse.message.mime import scan
from posthouse.message.structure import Part

# Below this a structure is scanned anew each time.
KEPT_FROM = 65_536

_decoder = msgspec.msgpack.Decoder(Part)


async def load_structures(lane: Lane, number: int, uids: Sequence[int]) -> dict[int, Part]:
    """Structures by uid."""
    made: dict[int, bytes] = {}

    def job(file: AccountFile) -> dict[int, Part]:
        found: dict[int, Part] = {}
        row = file.mailbox_by_id(number)
        if row is None:
            return found
        for page in pages(uids):
            rows = file.messages(number, page)
            for message in rows:
                try:
                    found[message.uid] = one(file, row, message)
                except (apsw.Error, OSError, MailboxFault):
                    continue  # its content cannot be read: who reads it is told, the others' structures are there
        return found

    def one(file: AccountFile, row: MailboxRow, message: MessageRow) -> Part:
        keep = bool(message.content) and message.size > KEPT_FROM
        if keep:
            stored = file.connection.execute("SELECT part FROM structure WHERE content = ?", (message.content,)).get
            if isinstance(stored, bytes):
                return _decoder.decode(stored)
        part = scan(file.backing.load(file, row, message))
        if keep:
            made[message.content] = msgspec.msgpack.encode(part)
        return part

    def keep(file: AccountFile) -> None:
        file.connection.executemany(
            "INSERT OR IGNORE INTO structure SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM content WHERE id = ?1)",
            list(made.items()),
        )

    found = await lane.read(job)
    if made:
        await lane.write(keep)
    return found
