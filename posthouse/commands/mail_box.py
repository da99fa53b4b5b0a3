"""The mailbox that mail(1) reads, without an event loop in sight: rows, headers, contents, and the marks at the end.

It is opened to be read only, so that nothing is changed until finish(): `x` leaves all as it was.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from posthouse.mailbox.store import AccountStore, Mailbox, MailboxFault, MailStore, MessageSummary, Refused
from posthouse.message.structure_envelope import MessageEnvelope, envelope_of

T = TypeVar("T")


class MailBox:
    """One open mailbox and what was in it then. `rows` are in order of arrival."""

    def __init__(self, path: Path, home: Path, name: str) -> None:
        """Raises MailboxFault, OSError; call close() in either case."""
        self.path = path
        self._runner = asyncio.Runner()
        self._store = _open_store(path, home)
        self._account: AccountStore | None = None
        self._mailbox: Mailbox | None = None
        self._envelopes: dict[int, MessageEnvelope] = {}
        self._name = name
        self.rows: list[MessageSummary] = []
        self.first_recent = 0
        """uids from here on are new since a mail program last looked."""

    def open(self) -> None:
        """Look into it. Raises MailboxFault, OSError."""
        self._account = _or_fault(self._wait(self._store.open(self._name)))
        self._mailbox = _or_fault(self._wait(self._account.select("INBOX", read_only=True)))
        self.first_recent = self._wait(self._mailbox.take_recent())
        self.rows = self._wait(self._all_rows(self._mailbox))

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    @staticmethod
    async def _all_rows(mailbox: Mailbox) -> list[MessageSummary]:
        return [row async for page in mailbox.summaries() for row in page]

    @property
    def _opened(self) -> Mailbox:
        assert self._mailbox is not None
        return self._mailbox

    def envelope(self, index: int) -> MessageEnvelope:
        """The fields of a message that the list and an answer need. Raises MailboxFault."""
        found = self._envelopes.get(index)
        if found is None:
            found = self._envelopes[index] = envelope_of(self._wait(self._header(self.rows[index].uid)))
        return found

    async def _header(self, uid: int) -> bytes:
        async for page in self._opened.headers([uid]):
            for _, header in page:
                return header
        return b""

    def content(self, index: int) -> bytes:
        """All of a message, lines ending in CRLF; b"" when another program removed it. Raises MailboxFault."""

        async def get() -> bytes:
            contents = await self._opened.contents([self.rows[index].uid])
            for content in contents.values():
                return await content.read()
            return b""

        return self._wait(get())

    def finish(self, seen: Iterable[int], deleted: Iterable[int]) -> None:
        """Mark and remove, by index; what is there is no longer new. Raises MailboxFault, OSError."""
        seen_uids = [self.rows[index].uid for index in sorted(seen)]
        deleted_uids = [self.rows[index].uid for index in sorted(deleted)]

        async def apply(account: AccountStore) -> None:
            mailbox = _or_fault(await account.select("INBOX"))
            try:
                await mailbox.take_recent()
                if seen_uids:
                    _or_fault(await mailbox.store_flags(seen_uids, "add", frozenset({"\\Seen"})))
                if deleted_uids:
                    _or_fault(await mailbox.remove(deleted_uids))
            finally:
                await mailbox.close()

        assert self._account is not None
        self._wait(apply(self._account))

    def close(self) -> None:
        """Let go of everything."""

        async def close() -> None:
            if self._mailbox is not None:
                await self._mailbox.close()
            if self._account is not None:
                await self._account.close()
            await self._store.close()

        try:
            self._wait(close())
        finally:
            self._runner.close()


def _or_fault(value: T | Refused) -> T:
    if isinstance(value, Refused):
        raise MailboxFault(value.text)
    return value


def _open_store(path: Path, home: Path) -> MailStore:
    if path.is_dir():
        from posthouse.mailbox.maildir.store import maildir_store

        return maildir_store(lambda _account: path)
    from posthouse.mailbox.mbox.store import mbox_store

    return mbox_store(lambda _account: (path, home / ".posthouse"))
