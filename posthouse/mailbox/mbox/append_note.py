"""What an append to an mbox file is about to do, noted beside the index until it is done.

A process that is killed in the middle of it leaves part of a message, which nobody was told of. Whoever takes
the locks next finds the note and cuts the file back to where it ended before; not when another program
has appended behind the part meanwhile (a From_ line, or what may be one, stands in it), and not when all of the
message is there.

The note is not synced: after a loss of power the part may stay, as it does with every program that appends.
"""

import os
from pathlib import Path

# Octets of the first line of what was appended: it has the only "From " of ours that may stand there.
FROM_LINE = 1000


class AppendNote:
    """The note of one spool file. Every call is made under the file's locks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = False

    def begin(self, descriptor: int, old_size: int, new_size: int) -> None:
        """An append begins. Raises OSError."""
        inode = os.fstat(descriptor).st_ino
        self._path.write_text(f"{inode} {old_size} {new_size}\n", "ascii")
        self._written = True

    def done(self) -> None:
        """It is over, or undone."""
        if self._written:
            self._written = False
            self._path.unlink(missing_ok=True)

    def recover(self, descriptor: int) -> None:
        """Take back what a killed process left. Raises OSError."""
        if self._written:
            return  # ours, in this batch
        try:
            words = self._path.read_text("ascii").split()
        except (FileNotFoundError, UnicodeDecodeError):
            return
        status = os.fstat(descriptor)
        if len(words) == 3 and all(word.isdigit() for word in words):
            inode, old_size, new_size = map(int, words)
            if status.st_ino == inode and old_size < status.st_size < new_size:
                part = os.pread(descriptor, status.st_size - old_size, old_size)
                first = part.find(b"\n", part.find(b"From "), FROM_LINE)
                if first < 0 or b"From " not in part[first:]:
                    os.ftruncate(descriptor, old_size)
                    os.fsync(descriptor)
        self._path.unlink(missing_ok=True)
