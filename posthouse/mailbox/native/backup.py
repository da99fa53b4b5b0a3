"""A copy of one account of the native store while it is in use, sound as of one moment.

SQLite's backup API copies the database; content files never change, so they are linked (on the same file
system) or copied: once before, so that an expunge meanwhile takes none away, and once after for those
that came meanwhile. Restoring is moving the copy to the account's place while the mail system is stopped.
"""

import os
import shutil
from pathlib import Path

import apsw

from posthouse.mailbox.index.schema import BUSY_MILLISECONDS
from posthouse.mailbox.native.layout import CONTENT, DATABASE, make_folder, sync_folder
from posthouse.mailbox.store import MailboxFault


def back_up(folder: Path, target: Path) -> int:
    """Copy an account's folder to a new one; how many content files there are. Raises MailboxFault."""
    try:
        target.mkdir(mode=0o700)
        _bring_files(folder, target)
        _copy_database(folder / DATABASE, target / DATABASE)
        return _bring_files(folder, target)
    except (OSError, apsw.Error) as error:
        raise MailboxFault(str(error)) from error


def _copy_database(source: Path, target: Path) -> None:
    near = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READWRITE)
    far = apsw.Connection(str(target))
    try:
        near.set_busy_timeout(BUSY_MILLISECONDS)
        with far.backup("main", near, "main") as copy:
            copy.step(-1)
    finally:
        far.close()
        near.close()
    with target.open("rb") as stream:
        os.fsync(stream.fileno())


def _bring_files(folder: Path, target: Path) -> int:
    make_folder(target / CONTENT)
    if not (folder / CONTENT).is_dir():
        return 0
    for path in (folder / CONTENT).iterdir():
        copy = target / CONTENT / path.name
        if copy.exists():
            continue
        try:
            os.link(path, copy)
        except FileNotFoundError:
            continue  # expunged meanwhile
        except OSError:
            shutil.copyfile(path, copy)
            with copy.open("rb") as stream:
                os.fsync(stream.fileno())
    sync_folder(target / CONTENT)
    sync_folder(target)
    return sum(1 for _ in (target / CONTENT).iterdir())
