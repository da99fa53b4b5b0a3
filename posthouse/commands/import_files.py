"""The files of a stopped Postfix's queue, opened and read for posthouse import-queue."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from posthouse.host.file_buffer import FileBuffer
from posthouse.queue.imported import Logs
from posthouse.queue.postfix_spool import QUEUES, PostfixSpool, SpoolFile
from posthouse.wire.bounce_log import LoggedOutcome, parse_bounce_log
from posthouse.wire.queue_file import DamagedQueueFile, QueueFile, parse_queue_file

LOG_LIMIT = 64 << 20
"""Bytes read of one log: half a million recipients."""

READY = 0o100
"""The owner may execute a file that Postfix has written to its end."""


class Unreadable(Exception):
    """A file that is not imported; the text says why."""


@dataclass(slots=True)
class OpenedFile:
    """A queue file that is whole, and what stands in it. Closed by `with`."""

    descriptor: int
    status: os.stat_result
    buffer: FileBuffer
    parsed: QueueFile

    def __enter__(self) -> "OpenedFile":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def open_file(spool: PostfixSpool, file: SpoolFile) -> OpenedFile:
    """Open and parse one. Raises Unreadable."""
    try:
        descriptor = spool.open(file)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    try:
        status = os.fstat(descriptor)
        if not status.st_mode & READY:
            raise Unreadable("Postfix did not write it to its end")
        if status.st_nlink != 1:
            raise Unreadable("more than one name")
        buffer = FileBuffer(descriptor, status.st_size)
        parsed = parse_queue_file(buffer)
        if not parsed.queued:
            raise Unreadable("no file of this queue")
        return OpenedFile(descriptor, status, buffer, parsed)
    except DamagedQueueFile as error:
        os.close(descriptor)
        raise Unreadable(f"damaged: {error}") from error
    except BaseException:
        os.close(descriptor)
        raise


def queue_files(spool: PostfixSpool) -> Iterator[SpoolFile]:
    """The files of all queues that come over."""
    for queue in QUEUES:
        yield from spool.files(queue)


def read_logs(spool: PostfixSpool, file: SpoolFile) -> Logs:
    """What Postfix noted of a message's recipients."""
    said: dict[str, tuple[LoggedOutcome, ...]] = {}
    for log in spool.log_files(file.name, file.folders):
        try:
            descriptor = spool.open(log)
        except OSError:
            continue
        with os.fdopen(descriptor, "rb") as opened:
            said[log.queue] = tuple(parse_bounce_log(opened.read(LOG_LIMIT)))
    return Logs(said.get("defer", ()), said.get("bounce", ()), said.get("trace", ()))


def reason_of(error: Exception) -> str:
    """Why a file is left."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
