"""Durable files: what these functions return from survives a loss of power.

A new file is durable when its bytes are synced and the folder that names it is too; a
replaced one when the new bytes were synced before the rename. All raise OSError.
"""

import os


def sync_folder(path: str) -> None:
    """Sync the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte: write(2) may take fewer (signals, a disk that fills up)."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_durable(path: str, data: bytes, mode: int = 0o600) -> None:
    """Create or replace a file as one step: readers see the old bytes or the new ones, whole."""
    folder = os.path.dirname(path) or "."
    temporary = f"{path}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise
    sync_folder(folder)


def make_folder(path: str, mode: int = 0o700) -> None:
    """Make a folder and those above it, each durable. Nothing happens when it is there."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent and parent != path:
        make_folder(parent, mode)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    sync_folder(parent or ".")
