"""The MailStore of mbox spools: INBOX is a file such as /var/mail/alice, served in place.

The index lies in a folder of the owner's. Other mailboxes are refused with a clear text: an account
that wants folders is given a Maildir or the native store.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from posthouse.mailbox.index.disk_store import DiskMailStore
from posthouse.mailbox.index.files import FileWriter
from posthouse.mailbox.maildir.store import new_name
from posthouse.mailbox.mbox.backing import MboxBacking
from posthouse.mailbox.mbox.locks import LockRules
from posthouse.mailbox.native.layout import make_folder, safe_name

# A draft waits in memory up to here, beyond in a file of the index's folder.
DRAFT_MEMORY = 1 << 20


class MboxPlace:
    """One account's spool file and where its index lies."""

    def __init__(self, spool: Path, folder: Path, rules: LockRules, size_limit: int) -> None:
        self._spool = spool
        self._folder = folder
        self._rules = rules
        self._size_limit = size_limit

    @property
    def index(self) -> Path:
        """One per spool file."""
        return self._folder / f"{safe_name(self._spool.name)}.db"

    def prepare(self) -> None:
        """Make the index's folder."""
        make_folder(self._folder)

    def backing(self, pool: Executor) -> MboxBacking:
        """What works on the spool."""
        note = self._folder / f"{safe_name(self._spool.name)}.rewrite"
        return MboxBacking(self._spool, note, pool, self._rules, self._size_limit)

    def writer(self, pool: Executor) -> FileWriter:
        """Memory, or a file beside the index."""
        return FileWriter(self._folder / f"draft-{new_name()}", pool, memory=DRAFT_MEMORY)

    def watched(self, disk: str) -> tuple[Path, ...]:
        """The spool."""
        return (self._spool,)


def mbox_store(
    locate: Callable[[str], tuple[Path, Path]],
    *,
    rules: LockRules = LockRules(),  # noqa: B008 - frozen
    size_limit: int = 0,
    **options: Any,
) -> DiskMailStore:
    """A store of spools; locate gives an account's spool file and the folder of its index.

    size_limit: mailbox_size_limit, 0 for none. Other options are DiskMailStore's.
    """

    def place(account: str) -> MboxPlace:
        spool, folder = locate(account)
        return MboxPlace(spool, folder, rules, size_limit)

    return DiskMailStore(place, **options)
