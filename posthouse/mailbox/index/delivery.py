"""Final delivery into an account: the job that every store on disk runs in the account's lane.

It does not look at the whole disk first (a Maildir of 100,000 messages would pay for that at each
delivery): the message gets the next uid, and what others put there gets later ones.
"""

from posthouse.envelope.content import Content
from posthouse.mailbox.flags import encode_flags
from posthouse.mailbox.index import folders, messages
from posthouse.mailbox.index.backing import StoredDraft
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

    def job(file: AccountFile) -> Delivered | Refused:
        found = _find(file, name, create)
        if isinstance(found, Refused):
            return found
        row, created = found
        if not file.fits(draft.size, 1):
            return OVER_QUOTA
        date = file.clock() if internal_date is None else internal_date
        put = file.backing.put(file, row, draft, bits, keywords, date, sender)
        uids = put if isinstance(put, Refused) else messages.insert(file, row, [put])
        if isinstance(uids, Refused):
            return uids
        return Delivered(name, row.uid_validity, uids[0], created)

    return await lane.write(job, draft.abort, quick=True)


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
