"""INBOX as POP3 sees it: a list of messages fixed at login, deletions that count only at QUIT.

The messages keep their numbers for the session; UIDL is uid_validity and uid, stable over
sessions and never given again. Mail that comes meanwhile is for the next session. A session that
is cut off deletes nothing (RFC 1939 section 6).

Standards: RFC 1939 sections 4 to 8.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from posthouse.mailbox.store import AccountStore, Mailbox, Refused

# Octets of a message that TOP reads at once while it counts lines.
TOP_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class DropMessage:
    """One message of LIST and UIDL."""

    number: int
    """From 1."""
    uid: int
    size: int
    unique_id: str
    """RFC 1939 section 7, UIDL: one to 70 characters in 0x21 to 0x7E."""


class Maildrop:
    """One session's INBOX."""

    def __init__(self, mailbox: Mailbox, messages: tuple[DropMessage, ...]) -> None:
        self._mailbox = mailbox
        self.messages = messages

    async def content(self, number: int) -> AsyncIterator[bytes]:
        """RETR: the octets of message `number`, canonical, without dot-stuffing. Raises MailboxFault when gone."""
        handle = (await self._mailbox.contents([self.messages[number - 1].uid])).get(self.messages[number - 1].uid)
        if handle is not None:
            async for chunk in handle.chunks():
                yield chunk

    async def top(self, number: int, lines: int) -> AsyncIterator[bytes]:
        """TOP: the header, its empty line and so many lines of the body."""
        handle = (await self._mailbox.contents([self.messages[number - 1].uid])).get(self.messages[number - 1].uid)
        if handle is None:
            return
        yield await handle.read(0, handle.header_size)
        if lines <= 0:
            return
        async for chunk in handle.chunks(handle.header_size):
            ends = chunk.count(b"\n")
            if ends < lines:
                lines -= ends
                yield chunk
                continue
            position = 0
            for _ in range(lines):
                position = chunk.index(b"\n", position) + 1
            yield chunk[:position]
            return

    async def seen(self, numbers: list[int]) -> None:
        """What was fetched is no longer unseen for IMAP."""
        await self._mailbox.store_flags(self._uids(numbers), "add", frozenset({"\\Seen"}))

    async def remove(self, numbers: list[int]) -> bool:
        """The update state: delete these, durable when it returns. False when the store refused."""
        return not isinstance(await self._mailbox.remove(self._uids(numbers)), Refused)

    def _uids(self, numbers: list[int]) -> list[int]:
        return [self.messages[number - 1].uid for number in numbers]

    async def close(self) -> None:
        """The session is over."""
        await self._mailbox.close()


async def open_maildrop(account: AccountStore) -> Maildrop | Refused:
    """INBOX of an account for one POP3 session."""
    mailbox = await account.select("INBOX")
    if isinstance(mailbox, Refused):
        return mailbox
    messages: list[DropMessage] = []
    async for page in mailbox.summaries():
        for row in page:
            unique_id = f"{mailbox.uid_validity:08x}{row.uid:08x}"
            messages.append(DropMessage(len(messages) + 1, row.uid, row.size, unique_id))
    await mailbox.take_recent()
    return Maildrop(mailbox, tuple(messages))
