"""Final delivery into an account: the job that every store on disk runs in the account's lane.

It does not look at the whole disk first (a Maildir of 100,000 messages would pay for that at each
delivery): the message gets the next uid, and what others put there gets later ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.envelope.content import Content
from posthouse.mailbox.flags import encode_flags
from posthouse.mailbox.index import folders, messages
from posthouse.mailbox.index.backing import Arrival, StoredDraft
from posthouse.mailbox.index.lane import Lane
from posthouse.mailbox.index.rows import AccountFile, MailboxRow
from posthouse.mailbox.index.surroundings import OVER_QUOTA
from posthouse.mailbox.names import spell_name
from posthouse.mailbox.store import ContentWriter, Delivered, Refused


async def deliver_draft(
    lane: Lane,
    draft: StoredDraft,
    *,
    mailbox: str,
    flags: frozenset[str],
    create: bool,
    sender: str,
    internal_date: float | None,
) -> Delivered | Refused:
    """Put a finished draft into a mailbox; durable when it returns. The draft is consumed."""
    name = spell_name(mailbox)
    if isinstance(name, Refused):
        draft.abort()
        return name
    bits, keywords = encode_flags(flags)
    delivery = Delivery(name, create, draft, bits, keywords, internal_date, sender)
    return await lane.write(delivery, draft.abort, quick=True)


@dataclass(eq=False, slots=True)
class Delivery:
    """The job of one delivery. Those that wait for one mailbox together share their statements."""

    name: str
    create: bool
    draft: StoredDraft
    flags: int
    keywords: str
    date: float | None
    sender: str

    def __call__(self, file: AccountFile) -> Delivered | Refused:
        """In the lane, alone."""
        found = _find(file, self.name, self.create)
        if isinstance(found, Refused):
            return found
        row, created = found
        if not file.fits(self.draft.size, 1):
            return OVER_QUOTA
        date = file.clock() if self.date is None else self.date
        put = file.backing.put(file, row, self.draft, self.flags, self.keywords, date, self.sender)
        uids = put if isinstance(put, Refused) else messages.insert(file, row, [put])
        if isinstance(uids, Refused):
            return uids
        return Delivered(self.name, row.uid_validity, uids[0], created)

    @property
    def company(self) -> str:
        """What those have in common that may go together: the mailbox."""
        return self.name

    def together(self, file: AccountFile, deliveries: Sequence["Delivery"]) -> list[Delivered] | None:
        """All of these to one mailbox; None when they must be tried one by one (anything is then undone)."""
        row = file.mailbox(self.name)
        if row is None or not row.selectable:
            return None
        if not file.fits(sum(delivery.draft.size for delivery in deliveries), len(deliveries)):
            return None
        now = file.clock()
        put = file.backing.put_together(
            file, [Arrival(d.draft, d.flags, d.keywords, now if d.date is None else d.date) for d in deliveries]
        )
        uids = None if put is None else messages.insert(file, row, put)
        if uids is None or isinstance(uids, Refused):
            return None
        return [Delivered(self.name, row.uid_validity, uid, False) for uid in uids]


def _find(file: AccountFile, name: str, create: bool) -> tuple[MailboxRow, bool] | Refused:
    row = file.mailbox(name)
    if (row is None or not row.selectable) and file.backing.disk_is_truth:
        file.backing.refresh_folders(file)
        row = file.mailbox(name)
    if row is not None and row.selectable:
        return row, False
    if not create:
        return folders.NO_MAILBOX
    made = folders.create(file, name)
    return made if isinstance(made, Refused) else (made, True)


async def write_content(writer: ContentWriter, content: Content) -> None:
    """A content into a writer; the writer is aborted when it cannot be."""
    try:
        writer.write(content.header + b"\r\n")
        async for chunk in content.body.chunks():
            writer.write(chunk)
            await writer.room()
    except BaseException:
        writer.abort()
        raise
