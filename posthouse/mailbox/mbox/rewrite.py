"""Rewriting the end of an mbox in place, so that neither a crash nor a delivery loses a byte.

A delivering program may have the file open and wait for its lock: the file must stay the same
inode, so nothing is renamed over it. What is to be written is first made durable beside the
index (the note); then the file is overwritten from the first changed message on, synced, cut, and
the note removed. Who finds a note (under the lock) finishes the work:

* The old octets between the new and the old end are untouched until the cut. Where they are still
  there (by their digest), the cut has not happened: what was appended meanwhile lies behind the old
  end, becomes part of a new note, and all is written again. Where they are not, all is done.
* A file that grows is first extended with empty lines; a crash then leaves only those, and they
  are taken away when nothing was appended after them.

BUGS: a program that rewrites the file in place after our crash, and before we look at it again,
with the same inode and length, is overwritten.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from posthouse.mailbox.native.layout import sync_folder


class Note(msgspec.Struct):
    """What is to be done to a file."""

    device: int
    inode: int
    first: int
    """Where the new octets go."""
    old_size: int
    new_size: int
    rest: bytes
    """Digest of the old octets of [new_size, old_size)."""
    octets: bytes
    padding: bool = False
    """Only: empty lines are being added from old_size to new_size."""


@dataclass(frozen=True, slots=True)
class Rewriter:
    """The note of one mbox."""

    note: Path

    def rewrite(self, descriptor: int, first: int, octets: bytes) -> None:
        """Replace everything from `first` on. The lock is held."""
        status = os.fstat(descriptor)
        new_size = first + len(octets)
        old_size = status.st_size
        if new_size > old_size:
            self._write(Note(status.st_dev, status.st_ino, first, old_size, new_size, b"", b"", padding=True))
            _put(descriptor, b"\n" * (new_size - old_size), old_size)
            os.fsync(descriptor)
            old_size = new_size
        note = Note(status.st_dev, status.st_ino, first, old_size, new_size, b"", octets)
        note.rest = _digest(descriptor, new_size, old_size)
        self._write(note)
        self._apply(descriptor, note)

    def recover(self, descriptor: int) -> None:
        """Finish what a crash left. The lock is held."""
        try:
            note = msgspec.msgpack.decode(self.note.read_bytes(), type=Note)
        except FileNotFoundError:
            return
        except msgspec.DecodeError:
            self._remove()  # cannot be: it was renamed into place whole
            return
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (note.device, note.inode):
            self._remove()  # another file took its place
            return
        if note.padding:
            added = os.pread(descriptor, note.new_size - note.old_size + 1, note.old_size)
            if not added.strip(b"\n") and status.st_size <= note.new_size:
                os.ftruncate(descriptor, note.old_size)
                os.fsync(descriptor)
            self._remove()
            return
        if status.st_size < note.old_size or note.rest != _digest(descriptor, note.new_size, note.old_size):
            self._remove()
            return
        tail = _get(descriptor, note.old_size, status.st_size)
        if tail:
            note.octets += tail
            note.old_size = status.st_size
            note.new_size += len(tail)
            note.rest = _digest(descriptor, note.new_size, note.old_size)
            self._write(note)
        self._apply(descriptor, note)

    def _apply(self, descriptor: int, note: Note) -> None:
        _put(descriptor, note.octets, note.first)
        os.fsync(descriptor)
        os.ftruncate(descriptor, note.new_size)
        os.fsync(descriptor)
        self._remove()

    def _write(self, note: Note) -> None:
        temporary = self.note.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _put(descriptor, msgspec.msgpack.encode(note), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, self.note)
        sync_folder(self.note.parent)

    def _remove(self) -> None:
        self.note.unlink(missing_ok=True)


def _put(descriptor: int, octets: bytes, position: int) -> None:
    view = memoryview(octets)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written


def _get(descriptor: int, start: int, stop: int) -> bytes:
    pieces = []
    while start < stop:
        piece = os.pread(descriptor, min(1 << 20, stop - start), start)
        if not piece:
            break
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _digest(descriptor: int, start: int, stop: int) -> bytes:
    digest = hashlib.sha256()
    while start < stop:
        piece = os.pread(descriptor, min(1 << 20, stop - start), start)
        if not piece:
            break
        digest.update(piece)
        start += len(piece)
    return digest.digest()
