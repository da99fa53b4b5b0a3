"""A shard that is filled with the messages of another queue, and joins ours in one step.

    queue/import/    a shard under a name that no worker adopts; its lock keeps a second import away

Messages are committed to it in batches; then the caller takes the old files out of the old
queue; then activate() gives the folder a shard's name. Before that nobody delivers anything of
it, after that no old file is left: whoever is killed in between finds the folder again, drops
the rows whose file is still in its place (drop()), and goes on. Nothing is lost, nothing comes twice.

Ids are kept where they are ids of ours and their block can be had (NumberSource.set_aside);
other messages get new ones. Everything blocks; there is no event loop.
"""

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import apsw

from posthouse.host.durable import make_folder, sync_folder, write_all, write_durable
from posthouse.host.locks import FileLock, take_lock
from posthouse.queue.body import ROW_BODY_LIMIT
from posthouse.queue.database import PAGE, STATES, Change, NewRow, ShardDatabase
from posthouse.queue.pack import flags_of, pack_message, pack_outcome
from posthouse.queue.queue_id import BLOCK, NumberSource, number_of, short_id
from posthouse.queue.shard import shard_names
from posthouse.queue.store import QueuedMessage, RecipientState

FOLDER = "import"
"""Below the shards. No shard's name: those are eight hex digits."""

NOTE = "aside"
"""Names the folder that files are moved to. It stays in the shard, and goes with it."""


class ImportRunning(Exception):
    """Another process fills the folder now."""


@dataclass(frozen=True, slots=True)
class StagedMessage:
    """A message to be added: `message` with its outcomes (its size is counted here), its header, its body in pieces."""

    message: QueuedMessage
    header: bytes
    body: Iterable[bytes]


class StagedShard:
    """The folder, open and locked. Close it in any case."""

    def __init__(self, root: str) -> None:
        """Open it, or make it. Raises ImportRunning, OSError."""
        self._root = root
        self.folder = os.path.join(root, FOLDER)
        make_folder(root)
        make_folder(self.folder)
        lock = take_lock(os.path.join(self.folder, "lock"))
        if lock is None:
            raise ImportRunning(self.folder)
        self._lock: FileLock = lock
        self._content = os.path.join(self.folder, "content")
        make_folder(self._content)
        self._database = ShardDatabase(os.path.join(self.folder, "queue.db"), writer=True)
        self._numbers = NumberSource(os.path.join(root, "numbers"))
        self._blocks: set[int] = set()

    def close(self) -> None:
        """Give it up; what it holds stays for the next import."""
        self._database.close()
        self._lock.release()

    def note_source(self, spool: str, aside: str) -> None:
        """Say where the files of the coming messages are moved to: SPOOL/aside. Durable, before the first is added."""
        text = f"{spool}\0{aside}\n".encode("utf-8", "surrogateescape")
        write_durable(os.path.join(self.folder, NOTE), text)

    # -- ids -------------------------------------------------------------------------------------------------------

    def keep_ids(self, queue_ids: Iterable[str]) -> None:
        """Say which ids the coming messages have, so that they can be kept. Once, before the first is added."""
        wanted = {number // BLOCK for queue_id in queue_ids if (number := number_of(queue_id)) is not None}
        own = _blocks_of(self._database)
        self._blocks = self._numbers.set_aside(wanted - own, self._used() | own) | own

    def _used(self) -> set[int]:
        """The blocks of every message of ours."""
        used: set[int] = set()
        for name in shard_names(self._root):
            try:
                database = ShardDatabase(os.path.join(self._root, name, "queue.db"), writer=False)
            except apsw.Error:
                continue  # just made, or just drained
            try:
                used |= _blocks_of(database)
            finally:
                database.close()
        return used

    def id_for(self, queue_id: str, arrival_time: float) -> str:
        """The id that a message gets: its own where it can be kept."""
        number = number_of(queue_id)
        if number is not None and number // BLOCK in self._blocks and self._database.first_from(number) != number:
            return queue_id
        return short_id(int(arrival_time % 1 * 1_000_000), self._numbers.next())

    # -- messages --------------------------------------------------------------------------------------------------

    def add(self, staged: Sequence[StagedMessage]) -> None:
        """Commit some messages: durable on return, none of them when it raises (OSError, apsw.Error)."""
        rows, changes, written = [], [], False
        for one in staged:
            message = one.message
            number = number_of(message.queue_id)
            assert number is not None
            body, size = self._body(message.queue_id, one.body)
            message = replace(message, size=len(one.header) + 2 + size)
            written |= body is None
            rows.append(
                NewRow(
                    number,
                    message.queue_id,
                    STATES[message.state],
                    message.next_attempt,
                    flags_of(message),
                    pack_message(message),
                    one.header,
                    body,
                )
            )
            outcomes = tuple(
                (stored.index, pack_outcome(stored))
                for stored in message.recipients
                if stored.dsn is not None or stored.state is RecipientState.DONE
            )
            if outcomes:
                changes.append(Change(number, outcomes))
        if written:
            sync_folder(self._content)
        self._database.apply(rows, changes)

    def _body(self, queue_id: str, pieces: Iterable[bytes]) -> tuple[bytes | None, int]:
        """The body when it is small, else None: it is in its synced content file then. And its size."""
        gathered: list[bytes] = []
        size = 0
        descriptor = -1
        try:
            for piece in pieces:
                size += len(piece)
                if descriptor < 0 and size <= ROW_BODY_LIMIT:
                    gathered.append(piece)
                    continue
                if descriptor < 0:
                    path = os.path.join(self._content, queue_id)
                    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
                    descriptor = os.open(path, flags, 0o600)
                    write_all(descriptor, b"".join(gathered))
                write_all(descriptor, piece)
            if descriptor < 0:
                return b"".join(gathered), size
            os.fsync(descriptor)
            return None, size
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def messages(self) -> Iterable[QueuedMessage]:
        """What an import that was broken off has left here, page by page."""
        after = -1
        while page := self._database.page(after, PAGE):
            yield from page
            after = number_of(page[-1].queue_id) or 0

    def drop(self, queue_ids: Sequence[str]) -> None:
        """Forget messages: their files are still in the old queue."""
        numbers = [number for queue_id in queue_ids if (number := number_of(queue_id)) is not None]
        self._database.apply([], [Change(number, remove=True) for number in numbers])
        for queue_id in queue_ids:
            try:
                os.unlink(os.path.join(self._content, queue_id))
            except FileNotFoundError:
                pass  # its body was in the row

    # -- the end ---------------------------------------------------------------------------------------------------

    def activate(self) -> str:
        """Make the folder a shard that any mail worker may adopt; an empty one is removed. The shard's name, or "".

        The caller has taken the old files away, and synced that.
        """
        if self._database.empty():
            self._database.close()
            for name in os.listdir(self._content):
                os.unlink(os.path.join(self._content, name))
            os.rmdir(self._content)
            for name in os.listdir(self.folder):
                os.unlink(os.path.join(self.folder, name))
            os.rmdir(self.folder)
            self._lock.release()
            return ""
        self._database.close()  # folds the WAL into the file
        number = max((int(name, 16) for name in shard_names(self._root)), default=0)
        while True:
            number += 1
            try:
                # An empty folder of this name, just made by a worker, is replaced: he finds our lock taken and goes on.
                os.rename(self.folder, os.path.join(self._root, f"{number:08x}"))
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        sync_folder(self._root)
        self._lock.release()
        return f"{number:08x}"


def broken_off(root: str) -> tuple[str, str] | None:
    """(spool, aside) of an import that was broken off, or runs; two empty texts when it had not begun to move files."""
    folder = os.path.join(root, FOLDER)
    if not os.path.isdir(folder):
        return None
    try:
        with open(os.path.join(folder, NOTE), encoding="utf-8", errors="surrogateescape") as file:
            spool, _, aside = file.read().rstrip("\n").partition("\0")
    except FileNotFoundError:
        return "", ""
    return spool, aside


def _blocks_of(database: ShardDatabase) -> set[int]:
    blocks = set()
    number = -1
    while (number := database.first_from(number + 1)) >= 0:
        blocks.add(number // BLOCK)
        number = (number // BLOCK + 1) * BLOCK - 1
    return blocks
