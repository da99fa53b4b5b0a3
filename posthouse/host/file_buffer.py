"""A file as bytes that are read when they are looked at: for formats with pointers, and files larger than memory.

Not mmap(2): whoever owns the file may cut it meanwhile, and a process that touches a mapped
page behind the end dies of SIGBUS. Here a slice is short then.
"""

import os

WINDOW = 1 << 16
"""Bytes kept in memory."""


class FileBuffer:
    """The first `size` bytes of an open file. The descriptor stays the caller's."""

    __slots__ = ("_descriptor", "_size", "_start", "_window")

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._start = 0
        self._window = b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: slice, /) -> bytes:
        start, stop, _ = index.indices(self._size)
        offset = start - self._start
        if offset >= 0 and stop - self._start <= len(self._window):
            return self._window[offset : stop - self._start]
        if stop - start > WINDOW:
            return os.pread(self._descriptor, stop - start, start)
        self._window = os.pread(self._descriptor, WINDOW, start)[: self._size - start]
        self._start = start
        return self._window[: stop - start]
