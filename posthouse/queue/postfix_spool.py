"""The folders of a Postfix's queue on disk: finding files, reading them, moving them aside.

    SPOOL/{incoming,active,deferred,hold,corrupt,maildrop}/[X/[Y/]]ID
    SPOOL/{defer,bounce,trace}/[X/[Y/]]ID     what was said of a message's recipients
    SPOOL/pid/master.pid                      locked by a running master

Root walks here through folders that mail_owner may change: every step is taken by descriptor,
and no link is followed.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from posthouse.host.durable import sync_folder
from posthouse.host.locks import FileLock, take_lock

QUEUES = ("incoming", "active", "deferred", "hold")
"""Queues whose messages are ready to be delivered."""

LOGS = ("defer", "bounce", "trace")

DEPTH_LIMIT = 9
"""Levels of folders below a queue: Postfix's own limit of hash_queue_depth is 3, and only 16 names per level."""

_ID = re.compile(r"[0-9A-Za-z]{6,40}")

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """One file of a queue."""

    queue: str
    folders: tuple[str, ...]
    """The hashed folders between."""
    name: str

    @property
    def path(self) -> str:
        """For people, below the spool."""
        return "/".join((self.queue, *self.folders, self.name))


class PostfixSpool:
    """One spool. Close it."""

    def __init__(self, path: str) -> None:
        """Raises OSError when it is no folder."""
        self.path = os.path.realpath(path)
        self._folders: dict[tuple[str, ...], int] = {(): os.open(self.path, _FOLDER)}

    def close(self) -> None:
        """Give its folders up."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()

    def lock(self) -> FileLock | None:
        """Keep a Postfix from starting here; None when one runs. Raises FileNotFoundError without a pid folder."""
        return take_lock(os.path.join(self.path, "pid", "master.pid"))

    def _folder(self, parts: tuple[str, ...]) -> int:
        found = self._folders.get(parts)
        if found is None:
            found = self._folders[parts] = os.open(parts[-1], _FOLDER, dir_fd=self._folder(parts[:-1]))
        return found

    def files(self, queue: str) -> Iterator[SpoolFile]:
        """The files of a queue, in the order of their names. What is no queue file's name is passed over."""
        yield from self._walk(queue, ())

    def _walk(self, queue: str, folders: tuple[str, ...]) -> Iterator[SpoolFile]:
        try:
            descriptor = self._folder((queue, *folders))
        except OSError:
            return  # not there, or a link
        for name in sorted(os.listdir(descriptor)):
            try:
                mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            except FileNotFoundError:
                continue
            if stat.S_ISREG(mode) and _ID.fullmatch(name):
                yield SpoolFile(queue, folders, name)
            elif stat.S_ISDIR(mode) and len(folders) < DEPTH_LIMIT:
                yield from self._walk(queue, (*folders, name))

    def open(self, file: SpoolFile) -> int:
        """A descriptor to read from. Raises OSError."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(file.name, flags, dir_fd=self._folder((file.queue, *file.folders)))

    def log_files(self, name: str, folders: tuple[str, ...]) -> Iterator[SpoolFile]:
        """The logs of a message: in the folder of its name, however deep it is hashed."""
        for queue in LOGS:
            for depth in {0, 1, len(folders), 2, 3}:
                log = SpoolFile(queue, _hashed(name, depth), name)
                try:
                    status = os.stat(name, dir_fd=self._folder((queue, *log.folders)), follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield log
                    break

    def make_aside(self, name: str, uid: int, gid: int) -> None:
        """Make SPOOL/name, which only mail_owner (and root) may enter. Durable."""
        try:
            os.mkdir(name, 0o700, dir_fd=self._folder(()))
        except FileExistsError:
            return
        if os.geteuid() == 0:
            os.fchown(self._folder((name,)), uid, gid)
        os.fsync(self._folder(()))

    def move(self, file: SpoolFile, aside: str, name: str) -> None:
        """Rename a file to SPOOL/aside/QUEUE/name. Durable after sync(). Raises OSError."""
        try:
            target = self._folder((aside, file.queue))
        except FileNotFoundError:
            os.mkdir(file.queue, 0o700, dir_fd=self._folder((aside,)))
            os.fsync(self._folder((aside,)))
            target = self._folder((aside, file.queue))
        source = self._folder((file.queue, *file.folders))
        os.rename(file.name, name, src_dir_fd=source, dst_dir_fd=target)

    def sync(self) -> None:
        """Make every rename durable."""
        for descriptor in self._folders.values():
            os.fsync(descriptor)


def sync_moves(spool: str, aside: str) -> None:
    """Make the renames of an earlier process durable. Not sync(2): that waits for everybody's files."""
    for top in (*QUEUES, *LOGS, aside):
        path = os.path.join(spool, top)
        if os.path.isdir(path):
            for _, _, _, descriptor in os.fwalk(path, follow_symlinks=False):
                os.fsync(descriptor)


def _hashed(name: str, depth: int) -> tuple[str, ...]:
    """hash_queue_depth: one folder for each of the first characters; of a long id, for its microseconds in hex."""
    if "z" in name:
        from posthouse.queue.queue_id import BASE52

        value = 0
        for digit in name[name.rindex("z") - 4 : name.rindex("z")]:
            value = value * 52 + BASE52.find(digit)
        name = f"{max(value, 0):05X}"
    return tuple(name[:depth])


def names_aside(spool: str, aside: str) -> set[str]:
    """The names of the messages that were moved to SPOOL/aside."""
    found: set[str] = set()
    for queue in (*QUEUES, "maildrop"):
        try:
            found.update(os.listdir(os.path.join(spool, aside, queue)))
        except FileNotFoundError:
            continue
    return found


def remove_aside(spool: str, aside: str) -> None:
    """Delete SPOOL/aside and what it holds."""
    top = os.path.join(spool, aside)
    for folder, _, files, descriptor in os.fwalk(top, topdown=False, follow_symlinks=False):
        for name in files:
            os.unlink(name, dir_fd=descriptor)
        os.rmdir(folder)
    sync_folder(spool)
