"""The MailStore of Maildir++: INBOX is the Maildir, other mailboxes are .Folders in it.

The index lies in the Maildir as posthouse.db, where other programs pass it over.
"""

import itertools
import os
import secrets
import socket
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from posthouse.mailbox.index.disk_store import DiskMailStore
from posthouse.mailbox.index.files import FileWriter
from posthouse.mailbox.maildir.backing import MaildirBacking
from posthouse.mailbox.native.layout import make_folder

INDEX = "posthouse.db"

_counter = itertools.count(1)
# "/" and ":" are not for file names here; maildir(5) writes them so.
_HOST = socket.gethostname().replace("/", "\\057").replace(":", "\\072")


def new_name() -> str:
    """A base name that no other has: time, process, count, 32 random bits, host."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{seconds}.M{rest // 1000}P{os.getpid()}Q{next(_counter)}R{secrets.token_hex(4)}.{_HOST}"


class MaildirPlace:
    """One account's Maildir."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def index(self) -> Path:
        """In the Maildir."""
        return self._root / INDEX

    def prepare(self) -> None:
        """Make the Maildir."""
        for each in ("tmp", "new", "cur"):
            make_folder(self._root / each)

    def backing(self, pool: Executor) -> MaildirBacking:
        """What works on its files."""
        return MaildirBacking(self._root, pool, new_name)

    def writer(self, pool: Executor) -> FileWriter:
        """Into tmp/ of the Maildir: one file system with every folder of it."""
        return FileWriter(self._root / "tmp" / new_name(), pool)

    def watched(self, disk: str) -> tuple[Path, ...]:
        """new and cur."""
        folder = self._root / disk if disk else self._root
        return folder / "new", folder / "cur"


def maildir_store(locate: Callable[[str], Path], **options: Any) -> DiskMailStore:
    """A store of Maildirs; locate gives an account's. Options are DiskMailStore's."""
    return DiskMailStore(lambda account: MaildirPlace(locate(account)), **options)
