"""A configuration file replaced whole: new text beside it, synced, renamed over it.

Owner and mode stay. A lock on the folder's side file makes two edits at once safe: each
reads what the other wrote. A reader sees the old file or the new one, never a part.
"""

import fcntl
import os
from collections.abc import Callable

from posthouse.config.error import ConfigError
from posthouse.config.logical_line import read_text


def rewrite_file(path: str, edit: Callable[[str], str]) -> None:
    """Replace the file's text by what `edit` makes of it. ConfigError when the disk refuses, in Postfix's words."""
    target = os.path.realpath(path)
    if target != os.path.abspath(path):
        path = target  # through a link; else it is named in complaints as it was given
    temporary = f"{path}.tmp"
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(f"open {temporary}: {error.strerror}") from error
    with os.fdopen(descriptor, "r+b") as file:
        # Another edit may rename its temporary file over ours while we wait for its lock.
        fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            if os.fstat(file.fileno()).st_ino != os.stat(temporary).st_ino:
                raise FileNotFoundError
        except FileNotFoundError:
            again = True
        else:
            again = False
            try:
                _write(file.fileno(), path, temporary, edit)
            except BaseException:
                os.unlink(temporary)
                raise
    if again:
        rewrite_file(path, edit)


def _write(descriptor: int, path: str, temporary: str, edit: Callable[[str], str]) -> None:
    try:
        status = os.stat(path)
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"open {path} for reading: {error.strerror}") from error
    data = edit(text).encode("utf-8", "surrogateescape")
    try:
        os.ftruncate(descriptor, 0)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if os.geteuid() == 0:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, status.st_mode & 0o7777)
        os.fsync(descriptor)
        os.rename(temporary, path)
    except OSError as error:
        raise ConfigError(f"write {temporary}: {error.strerror}") from error
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
