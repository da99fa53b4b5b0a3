"""Messages from one mailbox to another of the same account: COPY and MOVE.

Standards: RFC 3501 section 6.4.7; RFC 4315 section 3; RFC 6851.
"""

from collections.abc import Iterable

from posthouse.mailbox.index.messages import drop, insert, pages
from posthouse.mailbox.index.rows import AccountFile, Incoming, MailboxRow, MessageRow
from posthouse.mailbox.store import Copied, Refusal, Refused


def transfer(
    file: AccountFile, source: MailboxRow, uids: Iterable[int], target: MailboxRow, *, move: bool
) -> Copied | Refused:
    """Copy, and for a move drop the originals; always new uids, also within one mailbox."""
    messages: list[MessageRow] = []
    for page in pages(uids):
        messages += file.messages(source.id, page)
    if not messages:
        return Copied(target.uid_validity, (), (), source.modseq)
    size = sum(message.size for message in messages)
    if not move and not file.fits(size, len(messages)):
        return Refused(Refusal.OVER_QUOTA, "Quota exceeded (mailbox for user is full)")
    if source.id == target.id:
        target = source  # one row, or its counters would be saved twice
    incoming: list[Incoming] = []
    for message in messages:
        copied = file.backing.copy(file, source, message, target)
        if isinstance(copied, Refused):
            return copied
        incoming.append(copied)
    given = insert(file, target, incoming)
    if isinstance(given, Refused):
        return given
    if move:
        file.backing.remove(file, source, messages)
        drop(file, source, messages)
    return Copied(target.uid_validity, [message.uid for message in messages], given, source.modseq)
