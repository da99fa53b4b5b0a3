"""`kill -9` at random moments of a run: what got its 250 is delivered or queued, whatever died.

    python -m tests.system.kill9 [SEED] [KILLS] [MESSAGES] [WORKERS]        (./dev crash [SEED] [KILLS])

One instance between clients that note which messages got their 250 and a sink that notes what arrives. Half of the
kills take every process of the instance at once, half a single one, picked at random: the master, a worker, the
keeper. When the master died it is started again. With several workers only single ones are killed, never the master:
what a dead worker had, its brothers deliver. Some messages are large (a content file of their own), some are
deferred by the sink the first time. At the end each acknowledged message must have arrived or be in the queue.
Arrived twice is allowed: a crash between the sink's 250 and our commit (docs/queue-states.md, step 7); it is counted.
"""

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.free_port import free_port
from tests.system.machine import Instance, alive, eventually

KILLS = 20
MESSAGES = 5000
SESSIONS = 10
"""Clients at once."""

LARGE = 0.01
"""Part of the messages with a body of their own file (above 64 KiB)."""

LATER = 0.02
"""Part of the messages that the sink defers when it sees them first."""

SETTLE = 120.0
"""Seconds after the last 250 until everything must have arrived."""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
local     unix  -       n       n       -       -       local
"""

MAIN_CF = """\
compatibility_level = 3.6
myhostname = crash.test
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
mydestination =
relayhost = [127.0.0.1]:{sink}
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
smtpd_client_connection_count_limit = 0
posthouse_workers = {workers}
inet_protocols = ipv4
biff = no
"""


class Sink:
    """Takes mail for anybody and counts what arrives, by the X-Number field."""

    def __init__(self, later: set[int]) -> None:
        self.arrived: Counter[int] = Counter()
        self._later = later

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            writer.write(b"220 sink.test ESMTP\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    writer.write(b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
                elif verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    await writer.drain()
                    content = await reader.readuntil(b"\r\n.\r\n")
                    writer.write(self._take(content))
                else:
                    writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                await writer.drain()
                if verb == b"QUIT":
                    return
        except (OSError, asyncio.IncompleteReadError):
            pass  # The instance was killed.
        finally:
            writer.close()

    def _take(self, content: bytes) -> bytes:
        found = re.search(rb"^X-Number: (\d+)\r$", content, re.MULTILINE)
        assert found is not None
        number = int(found[1])
        if number in self._later:
            self._later.discard(number)
            return b"451 4.2.0 later\r\n"
        self.arrived[number] += 1
        return b"250 2.0.0 taken\r\n"


@dataclass
class Clients:
    """Sessions that send messages one after another, until enough of them got their 250."""

    port: int
    wanted: int
    large: set[int]
    acknowledged: set[int] = field(default_factory=set)
    offered: int = 0
    broken: int = 0

    async def run(self) -> None:
        """All sessions, to the end."""
        await asyncio.gather(*(self._session(number) for number in range(SESSIONS)))

    @property
    def enough(self) -> bool:
        """Whether all messages got their 250."""
        return len(self.acknowledged) >= self.wanted

    async def _session(self, which: int) -> None:
        while not self.enough:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            except OSError:
                await asyncio.sleep(0.02)  # It is down; it comes back.
                continue
            try:
                async with asyncio.timeout(60):
                    await self._dialogue(reader, writer, per_connection=1 + which * 5)
            except (OSError, EOFError, TimeoutError):
                self.broken += 1
            finally:
                writer.close()

    async def _dialogue(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, per_connection: int
    ) -> None:
        await reply(reader)
        writer.write(b"EHLO client.test\r\n")
        await reply(reader)
        for _ in range(per_connection):
            if self.enough:
                break
            self.offered += 1
            number = self.offered
            writer.write(b"MAIL FROM:<a@client.test>\r\nRCPT TO:<b@far.test>\r\nDATA\r\n")
            codes = [await reply(reader) for _ in range(3)]
            if codes != [250, 250, 354]:
                raise EOFError
            body = b"x" * 70 + b"\r\n"
            writer.write(b"Subject: crash\r\nX-Number: %d\r\n\r\n" % number)
            writer.write(body * (2000 if number in self.large else 40) + b".\r\n")
            await writer.drain()
            if await reply(reader) == 250:
                self.acknowledged.add(number)
        writer.write(b"QUIT\r\n")


async def reply(reader: asyncio.StreamReader) -> int:
    """The code of one reply. Raises EOFError when the connection ends."""
    while True:
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        if line[3:4] != b"-":
            return int(line[:3])


@dataclass(frozen=True, slots=True)
class Result:
    """What a run showed."""

    acknowledged: int
    arrived: int
    """Of the acknowledged ones."""
    queued: int
    lost: tuple[int, ...]
    duplicates: int
    kills: tuple[str, ...]
    broken: int
    """Connections that a kill cut."""


async def end(server: asyncio.Server) -> None:
    """Let go of the sink's connections: kept ones of an instance that has just ended are still open."""
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def instance(port: int, sink: int, workers: int = 1) -> Iterator[Instance]:
    """A relay, configured and not started; stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="posthouse-kill9-"))
    folder.chmod(0o755)
    (folder / "spool").mkdir()
    (folder / "etc").mkdir()
    (folder / "etc" / "main.cf").write_text(MAIN_CF.format(folder=folder, sink=sink, workers=workers))
    (folder / "etc" / "master.cf").write_text(MASTER_CF.format(port=port))
    made = Instance(folder / "etc", folder / "mail.log", folder / "spool")
    try:
        yield made
    finally:
        made.kill()
        eventually(lambda: made.master() is None, "the end of the instance")
        shutil.rmtree(folder)


def kill(victim: Instance, chance: random.Random, everything: bool, *, children_only: bool = False) -> str:
    """Kill, and start again when the master died; says what was killed."""
    processes = eventually(lambda: victim.processes() if len(victim.processes()) > 1 else None, "running workers")
    chosen = processes if everything else [chance.choice(processes[1:] if children_only else processes)]
    for pid in chosen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in chosen), "their end")
    if processes[0] in chosen:
        victim.start()
    return "all" if everything else "master" if chosen == processes[:1] else "one"


def numbers_in_queue(victim: Instance) -> set[int]:
    """The X-Number of each message that is still queued."""
    found: set[int] = set()
    for line in victim.do("postqueue", "-p").splitlines():
        match = re.match(r"([0-9A-F]{10,12})[*! ]", line)
        if match:
            shown = re.search(r"^X-Number: (\d+)$", victim.do("postcat", "-qh", match[1]), re.MULTILINE)
            if shown:
                found.add(int(shown[1]))
    return found


def play(seed: int, kills: int, messages: int, workers: int = 1) -> Result:
    """One run."""
    chance = random.Random(seed)
    # More numbers than messages: a message whose connection was cut is not sent again, another takes its place.
    numbers = range(1, messages * 2)
    large = set(chance.sample(numbers, int(len(numbers) * LARGE)))
    sink = Sink(set(chance.sample(numbers, int(len(numbers) * LATER))))
    moments = sorted(chance.uniform(0, messages * 0.97) for _ in range(kills))
    everything = kills // 2 if workers == 1 else 0
    what = [True] * everything + [False] * (kills - everything)
    chance.shuffle(what)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(sink.serve, "127.0.0.1", 0, limit=1 << 20)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    try:
        port = free_port()
        with instance(port, server.sockets[0].getsockname()[1], workers) as victim:
            victim.start()
            clients = Clients(port, messages, large)
            sending = asyncio.run_coroutine_threadsafe(clients.run(), loop)
            killed = []
            for moment, all_of_them in zip(moments, what, strict=True):
                eventually(lambda moment=moment: len(clients.acknowledged) >= moment or sending.done(), "progress", 300)
                time.sleep(
                    chance.uniform(0, 0.02)
                )  # Anywhere within a batch: the seed's moment, not a wait for anything.
                killed.append(kill(victim, chance, all_of_them, children_only=workers > 1))
            sending.result(300)
            with contextlib.suppress(AssertionError):
                eventually(lambda: clients.acknowledged <= set(sink.arrived), within=SETTLE)
            queued = numbers_in_queue(victim)
            text = victim.text()
            assert "Traceback" not in text, text[-5000:]
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    arrived = set(sink.arrived)
    return Result(
        acknowledged=len(clients.acknowledged),
        arrived=len(clients.acknowledged & arrived),
        queued=len(clients.acknowledged & queued),
        lost=tuple(sorted(clients.acknowledged - arrived - queued)),
        duplicates=sum(count - 1 for count in sink.arrived.values()),
        kills=tuple(killed),
        broken=clients.broken,
    )


def main(arguments: list[str]) -> int:
    """Play, and say what happened; exit status 1 when something was lost."""
    seed = int(arguments[0]) if arguments else random.SystemRandom().randrange(1 << 32)
    kills = int(arguments[1]) if len(arguments) > 1 else KILLS
    messages = int(arguments[2]) if len(arguments) > 2 else MESSAGES
    workers = int(arguments[3]) if len(arguments) > 3 else 1
    print(f"seed {seed}: {messages} messages, {kills} kills, {workers} workers", flush=True)
    started = time.monotonic()
    result = play(seed, kills, messages, workers)
    kinds = Counter(result.kills)
    print(
        f"{time.monotonic() - started:.0f} s; kills: {dict(kinds)}; connections cut: {result.broken}\n"
        f"acknowledged {result.acknowledged}, arrived {result.arrived}, in the queue {result.queued},"
        f" lost {len(result.lost)}, duplicates {result.duplicates}"
    )
    if result.lost:
        print(f"LOST: {result.lost[:50]}")
    return 1 if result.lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
