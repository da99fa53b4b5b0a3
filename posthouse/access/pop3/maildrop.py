"""What a POP3 session asks of the mailbox.

posthouse.mailbox.maildrop.Maildrop fits as it is; tests bring their own. The list of messages is fixed when the
maildrop is opened; numbers count from 1. What cannot be read raises MailboxFault.

Standards: RFC 1939 sections 4 to 7.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from posthouse.accounts.account import Account


class DropMessage(Protocol):
    """One message."""

    @property
    def size(self) -> int:
        """In octets, as it is sent, dots not counted."""

    @property
    def unique_id(self) -> str:
        """RFC 1939 section 7, UIDL: the same in every session, never given to another message."""


class Maildrop(Protocol):
    """One session's INBOX."""

    @property
    def messages(self) -> Sequence[DropMessage]:
        """In order of their numbers."""

    def content(self, number: int) -> AsyncIterator[bytes]:
        """A message, lines ended by CRLF, dots not doubled."""

    def top(self, number: int, lines: int) -> AsyncIterator[bytes]:
        """Its header, the empty line, and so many lines of the body."""

    async def seen(self, numbers: list[int]) -> None:
        """These were fetched."""

    async def remove(self, numbers: list[int]) -> bool:
        """Delete these, durable when it returns. False when the store refused."""

    async def close(self) -> None:
        """The session is over."""


@dataclass(frozen=True, slots=True)
class MaildropRefused:
    """It cannot be opened: RFC 2449 section 8's IN-USE, or RFC 3206's SYS/TEMP or SYS/PERM."""

    code: str
    text: str


class Maildrops(Protocol):
    """Opens maildrops."""

    async def open(self, account: Account) -> Maildrop | MaildropRefused:
        """INBOX of an account."""
