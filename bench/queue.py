"""python -m bench queue [-n MESSAGES] [-d FOLDER] [--no-save]: how the queue's commands bear a big queue.

A shard of deferred messages (a million unless -n says otherwise) is written directly, then the commands look at it and
change it, with the system down and up. Told are seconds to the first line and to the end, and the most memory that the
command had, and with the system up the mail worker.

    start             postfix start with every message due: until it returns, until the first delivery
    mailq, json       postqueue -p and -j
    qshape            qshape of all of it
    site              postqueue -s of a domain that one in a thousand messages is for
    hold, release, requeue, delete    postsuper -h, -H, -r and -d ALL
"""

import os
import pwd
import select
import sys
import tempfile
import time
from dataclasses import dataclass

import apsw

from bench.arguments import read_arguments
from bench.peer import PeerFailed
from bench.peers import PostfixPeer, posthouse_peer
from bench.results import Figure, save
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.queue.database import STATES, Change, NewRow, ShardDatabase
from posthouse.queue.pack import pack_message, pack_outcome
from posthouse.queue.queue_id import NumberSource, short_id
from posthouse.queue.shard import create_shard
from posthouse.queue.store import QueuedMessage, RecipientState, State, StoredRecipient

BATCH = 5000
SAMPLE = 0.05
"""Seconds between two looks at a command's memory."""
REASON = Dsn("4.4.1", "connect to mail.example[192.0.2.1]:25: Connection timed out", "delayed")
BODY = b"x" * 600 + b"\r\n"
DELIVERED = "sent.example"
"""One message in a thousand is for this domain, and is delivered; the others' transport is deferred."""

SETTINGS = f"""\
default_transport = smtp
defer_transports = smtp
transport_maps = inline:{{{DELIVERED}=discard:}}
fast_flush_domains = {DELIVERED}
maximal_queue_lifetime = 100d
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one command took."""

    first: float
    """Seconds to the first line of output; to the end when there is none."""
    total: float
    memory: int
    """KiB of the command, at most."""
    lines: int


def fill(root: str, count: int) -> None:
    """Write a shard with so many deferred messages, all of them due."""
    os.makedirs(root, exist_ok=True)
    shard = create_shard(root)
    database = shard.open()
    database.connection.pragma("synchronous", "off")
    numbers = NumberSource(os.path.join(root, "numbers"))
    now = time.time()
    try:
        for start in range(0, count, BATCH):
            _write(database, numbers, range(start, min(start + BATCH, count)), now)
    finally:
        database.close()
        shard.lock.release()


def _write(database: ShardDatabase, numbers: NumberSource, wanted: range, now: float) -> None:
    rows, changes = [], []
    for index in wanted:
        number = numbers.next()
        queue_id = short_id(index % 1_000_000, number)
        domain = DELIVERED if index % 1000 == 500 else f"d{index % 10_000}.example"
        recipient = Recipient(f"user{index}@{domain}")
        stored = StoredRecipient(0, recipient, RecipientState.PENDING, REASON)
        envelope = Envelope("sender@source.example", (recipient,))
        message = QueuedMessage(queue_id, now - 3600 - index % 86400, envelope, (stored,), 700, State.DEFERRED)
        header = b"From: sender@source.example\r\nSubject: message %d\r\n" % index
        rows.append(NewRow(number, queue_id, STATES[State.DEFERRED], now - 1, 0, pack_message(message), header, BODY))
        changes.append(Change(number, ((0, pack_outcome(stored)),)))
    database.apply(rows, changes)


def peak(pid: int) -> int:
    """The most memory that a process has had since it is this program, in KiB; 0 when it is gone.

    (What wait4(2) tells counts the process that it was before exec(2), too: this one.)
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return max((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), default=0)
    except OSError:
        return 0


def run(arguments: list[str]) -> Taken:
    """Run a command to its end, reading what it says. Raises PeerFailed."""
    start = time.perf_counter()
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
    pid = os.posix_spawn(arguments[0], arguments, os.environ, file_actions=actions)
    os.close(writing)
    first, lines, memory, looked = 0.0, 0, 0, 0.0
    while True:
        now = time.perf_counter()
        if now - looked > SAMPLE:
            looked = now
            memory = max(memory, peak(pid))
        if not select.select([reading], [], [], SAMPLE)[0]:
            continue
        data = os.read(reading, 1 << 16)
        if not data:
            break
        first = first or time.perf_counter() - start
        lines += data.count(b"\n")
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    total = time.perf_counter() - start
    if status:
        raise PeerFailed(f"{' '.join(arguments)}: status {status}")
    return Taken(first or total, total, memory, lines)


class Workers:
    """The processes below the master of an instance, and the most memory that one of them had."""

    def __init__(self, queue_directory: str) -> None:
        self._pid_file = f"{queue_directory}/pid/master.pid"

    def _pids(self) -> list[int]:
        try:
            with open(self._pid_file, encoding="ascii") as file:
                master = int(file.read())
            with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as file:
                return [int(word) for word in file.read().split()]
        except (OSError, ValueError):
            return []

    def forget(self) -> None:
        """Count anew from what they have now."""
        for pid in self._pids():
            try:
                with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
                    file.write("5")
            except OSError:
                pass  # ended meanwhile, or not ours: then the peak is that of its whole life

    def memory(self) -> int:
        """KiB."""
        return max(map(peak, self._pids()), default=0)


class Trial:
    """One instance with a big queue."""

    def __init__(self, place: str, count: int) -> None:
        self.count = count
        self.peer: PostfixPeer = posthouse_peer(f"{place}/posthouse")
        self.queue_directory = f"{self.peer.folder}/spool"
        self.root = f"{self.queue_directory}/posthouse/queue"
        self.workers = Workers(self.queue_directory)
        self.figures: list[Figure] = []

    def note(self, measure: str, value: float, unit: str) -> None:
        """Keep a figure, and print it."""
        self.figures.append(Figure(f"queue-{measure}", "posthouse", [value], unit))
        print(f"{measure:28} {value:10.2f} {unit}", flush=True)

    def command(self, measure: str, words: list[str], *, up: bool) -> Taken:
        """Run one of the queue's commands, and keep its figures."""
        self.workers.forget()
        taken = run([f"{self.peer.commands}{words[0]}", "-c", self.peer.config, *words[1:]])
        name = f"{measure}-{'up' if up else 'down'}"
        if taken.lines > 100:
            self.note(f"{name}-first", taken.first, "s")
        self.note(name, taken.total, "s")
        self.note(f"{name}-memory", taken.memory / 1024, "MiB")
        if up:
            self.note(f"{name}-worker", self.workers.memory() / 1024, "MiB")
        return taken

    def prepare(self) -> None:
        """Make the instance and its queue."""
        self.peer.start()
        with open(f"{self.peer.config}/main.cf", "a", encoding="ascii") as file:
            file.write(SETTINGS)
        self.peer.stop()
        started = time.perf_counter()
        fill(self.root, self.count)
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postfix")
            for folder, _, names in os.walk(self.root):
                for name in ("", *names):
                    os.chown(os.path.join(folder, name), owner.pw_uid, owner.pw_gid)
        self.note("fill", time.perf_counter() - started, "s")

    def down(self) -> None:
        """The commands without a running system."""
        self.look("deferred", up=False)
        self.command("hold", ["postsuper", "-h", "ALL"], up=False)
        self.command("release", ["postsuper", "-H", "ALL"], up=False)

    def look(self, queue: str, *, up: bool) -> None:
        """The commands that change nothing."""
        listed = self.command("mailq", ["postqueue", "-p"], up=up)
        if not up and listed.lines < self.count:
            raise PeerFailed(f"mailq shows {listed.lines} lines for {self.count} messages")
        self.command("json", ["postqueue", "-j"], up=up)
        self.command("qshape", ["qshape", queue], up=up)

    def up(self) -> None:
        """Start with everything due, then the commands."""
        log = f"{self.peer.folder}/log"
        before = os.path.getsize(log)
        started = time.perf_counter()
        self.peer.resume()
        self.note("start", time.perf_counter() - started, "s")
        while b"status=sent" not in _from(log, before):
            if time.perf_counter() - started > 600:
                raise PeerFailed("nothing was delivered")
            time.sleep(0.02)
        self.note("first-delivery", time.perf_counter() - started, "s")
        self.note("start-worker", self.workers.memory() / 1024, "MiB")
        self.command("hold", ["postsuper", "-h", "ALL"], up=True)
        self.look("hold", up=True)
        self.command("site", ["postqueue", "-s", DELIVERED], up=True)
        # While it goes on, all that is free is tried and deferred.
        self.command("requeue", ["postsuper", "-r", "ALL"], up=True)
        self.command("delete", ["postsuper", "-d", "ALL"], up=True)


def _from(path: str, position: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(position)
        return file.read(1 << 24)


def main(arguments: list[str]) -> int:
    """Run it."""
    chosen = read_arguments(arguments, "n:d:", __doc__ or "", "no-save")
    if isinstance(chosen, int):
        return chosen
    count, folder, keep = int(chosen.get("-n", 1_000_000)), chosen.get("-d", "/var/tmp"), "--no-save" not in chosen
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as place:
        os.chmod(place, 0o755)
        trial = Trial(place, count)
        try:
            trial.prepare()
            trial.down()
            trial.up()
        except (PeerFailed, apsw.Error) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        finally:
            trial.peer.stop()
    if keep:
        save(trial.figures, folder)
    return 0
