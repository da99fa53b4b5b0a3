"""The ledger: deliveries to several accounts made durable by one sync, before each account has them.

Each account is a file of its own, and a sync of each file is what deliveries to many accounts cost
most. A round of deliveries is therefore written here first, whole, and synced once; then each
account commits its part without a sync (its readers see it at once). The numbers of the commit stand in
the ledger: when the power goes and takes commits along, recovery.py makes the same ones anew. A part of
the ledger is written over once the account files it answers for were synced themselves.

    <mail_store_directory>/ledger/<pid>-<n>-<part>.ledger    one process's; locked (flock) while it lives
    header   magic, salt        written anew, with another salt, each time the part is begun again
    record   length, CRC-32 of salt and payload, payload: the deposits of one round (msgpack)

What an older salt wrote, and a record that the power cut off, end the reading. Two parts take turns;
written over in place they cost half of what a growing file does.
"""

import errno
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from posthouse.host.locks import FileLock, take_lock
from posthouse.mailbox.native.deposit import Deposit
from posthouse.mailbox.native.layout import make_folder, sync_folder

LEDGER = "ledger"
SUFFIX = ".ledger"
MAGIC = b"PHledger1\n"
SALT = 16
HEADER = len(MAGIC) + SALT
_FRAME = struct.Struct("<II")
FULL = (errno.ENOSPC, errno.EDQUOT)
PART = 16 << 20
"""Octets after which the other part is begun: what a recovery reads, and how seldom accounts are synced."""
PARTS = 8
"""Parts while accounts cannot be synced; the last one then grows."""


class Round(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one sync makes durable."""

    time: float
    deposits: tuple[Deposit, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Round)


class _Part:
    """One file."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self.lock = lock
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self.salt = b""
        self.size = 0
        self.owing: set[str] = set()
        """Accounts whose commits nothing but this part makes durable."""

    def begin(self) -> None:
        """From the start, over what it held."""
        self.salt, self.size = os.urandom(SALT), 0

    def write(self, payload: bytes) -> None:
        """One record."""
        frame = _FRAME.pack(len(payload), zlib.crc32(payload, zlib.crc32(self.salt)))
        head = MAGIC + self.salt if self.size == 0 else b""
        data = memoryview(b"".join((head, frame, payload)))
        size = self.size
        while data:
            count = os.pwrite(self.descriptor, data, size)
            size += count
            data = data[count:]
        self.size = size  # only now: where half of it found room the next record goes over it


class Ledger:
    """One process's. append() and settled() may be called from any thread."""

    def __init__(self, directory: Path, name: str, *, sync: Callable[[int], None] = os.fdatasync) -> None:
        self._folder = directory / LEDGER
        self._name = name
        self._sync = sync
        self._parts: list[_Part] = []
        self._current: _Part | None = None
        self._lock = threading.Lock()
        self._broken = False

    @property
    def usable(self) -> bool:
        """False once it could not be written: a file whose sync failed is not to be trusted again."""
        return not self._broken

    def append(self, now: float, deposits: Sequence[Deposit]) -> None:
        """Durable when it returns. Raises OSError; it is of no use after that, unless the disk was only full."""
        payload = _encoder.encode(Round(now, tuple(deposits)))
        with self._lock:
            if self._broken:
                raise OSError("the ledger could not be written before")
            try:
                part = self._part()
                part.owing.update([deposit.account for deposit in deposits])
                part.write(payload)
            except OSError as error:
                self._broken = error.errno not in FULL
                raise
            try:
                self._sync(part.descriptor)
            except OSError:
                self._broken = True
                raise

    def _part(self) -> _Part:
        current = self._current
        if current is not None and current.size < PART:
            return current
        free = next((part for part in self._parts if part is not current and not part.owing), None)
        if free is None:
            if current is not None and len(self._parts) >= PARTS:
                return current
            free = self._make()
        free.begin()
        self._current = free
        return free

    def _make(self) -> _Part:
        make_folder(self._folder)
        path = self._folder / f"{self._name}-{len(self._parts)}{SUFFIX}"
        lock = take_lock(str(path))
        if lock is None:
            raise OSError(f"{path}: another process has it")
        part = _Part(path, lock)
        self._parts.append(part)
        sync_folder(self._folder)
        return part

    def settled(self, account: str) -> None:
        """The account's file was synced after everything that was ever appended for it."""
        for part in list(self._parts):
            part.owing.discard(account)

    def due(self) -> list[str]:
        """Accounts that keep a full part from being written over."""
        return [account for part in self._parts if part is not self._current for account in list(part.owing)]

    def close(self) -> None:
        """Take away what nothing is owed by. The rest is for the next process."""
        for part in self._parts:
            os.close(part.descriptor)
            if not part.owing:
                part.path.unlink(missing_ok=True)
            part.lock.release()
        self._parts.clear()
        self._current = None
        self._broken = True


def read_rounds(data: bytes) -> Iterator[Round]:
    """The rounds of one part, up to where the power or an older salt cut them off."""
    if len(data) < HEADER or not data.startswith(MAGIC):
        return
    start = zlib.crc32(data[len(MAGIC) : HEADER])
    at = HEADER
    while at + _FRAME.size <= len(data):
        length, wanted = _FRAME.unpack_from(data, at)
        at += _FRAME.size
        payload = data[at : at + length]
        if len(payload) != length or zlib.crc32(payload, start) != wanted:
            return
        at += length
        try:
            yield _decoder.decode(payload)
        except msgspec.DecodeError:
            return
