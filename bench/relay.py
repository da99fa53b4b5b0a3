"""Messages per second through a server, with Postfix's own smtp-source and smtp-sink at the ends."""

import os
import re
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench.peer import Peer, PeerFailed, free_port, wait_for_port

SESSIONS = 20
MESSAGE_SIZE = 4096
TIMEOUT = 300.0
"""Seconds in which all messages must have arrived."""
COUNTER = re.compile(rb"mesg=(\d+)\D")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def _tool(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        raise PeerFailed(f"{name} is not installed")
    return found


class Sink:
    """smtp-sink, counting. Its -M would end it before the last reply and leave one message in the queue: instead its
    running counter is read, which costs every subject the same."""

    def __init__(self, port: int, messages: int) -> None:
        arguments = [_tool("smtp-sink"), "-c"]
        if os.geteuid() == 0:
            arguments += ["-u", "nobody"]
        self._messages = messages
        self._done = threading.Event()
        self._process = subprocess.Popen(
            [*arguments, f"127.0.0.1:{port}", "1000"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()
        wait_for_port(port)

    def _count(self) -> None:
        assert self._process.stdout is not None, "the counter comes through a pipe"
        descriptor = self._process.stdout.fileno()
        rest = b""
        while data := os.read(descriptor, 65536):
            rest = (rest + data)[-4096:]
            counts = COUNTER.findall(rest)
            if counts and int(counts[-1]) >= self._messages:
                self._done.set()

    def wait(self, seconds: float) -> None:
        """Wait for the last message. Raises PeerFailed."""
        if not self._done.wait(seconds):
            raise PeerFailed(f"messages are missing after {TIMEOUT:.0f} seconds")

    def close(self) -> None:
        """End it, counted or not. What is still being said gets a moment."""
        time.sleep(0.3)
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


def source(
    port: int,
    messages: int,
    *,
    kept: bool,
    lmtp: bool = False,
    to: str = "user@far.example",
    sessions: int = SESSIONS,
) -> float:
    """Run smtp-source; seconds it took. Raises PeerFailed."""
    arguments = [_tool("smtp-source"), "-s", str(sessions), "-l", str(MESSAGE_SIZE), "-m", str(messages)]
    arguments += ["-M", "source.example", "-f", "sender@source.example", "-t", to]
    if kept:
        arguments.append("-d")
    if lmtp:
        arguments.append("-L")
    start = time.perf_counter()
    try:
        done = subprocess.run([*arguments, f"127.0.0.1:{port}"], capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise PeerFailed("smtp-source did not end in time") from error
    if done.returncode != 0:
        raise PeerFailed(f"smtp-source: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return time.perf_counter() - start


def _through(port: int, sink_port: int, messages: int, *, kept: bool) -> float:
    sink = Sink(sink_port, messages)
    try:
        start = time.perf_counter()
        source(port, messages, kept=kept)
        sink.wait(max(1.0, TIMEOUT - (time.perf_counter() - start)))
        return messages / (time.perf_counter() - start)
    finally:
        sink.close()


def relay_rate(peer: Peer, messages: int, *, kept: bool) -> float:
    """Messages per second from the start of smtp-source until smtp-sink has them all."""
    return _through(peer.port, peer.sink_port, messages, kept=kept)


def pipe_rate(messages: int, *, kept: bool) -> float:
    """The same without a server between."""
    port = free_port()
    return _through(port, port, messages, kept=kept)


def store_rate(peer: Peer, messages: int, accounts: int = 1) -> float:
    """Messages per second by LMTP on kept connections: when smtp-source has its last reply, all are in the mailboxes.
    With several accounts a smtp-source each shares the sessions."""
    each = messages // accounts
    start = time.perf_counter()
    with ThreadPoolExecutor(accounts) as pool:
        running = [
            pool.submit(
                source,
                peer.port,
                each,
                kept=True,
                lmtp=True,
                to="user@store.example" if accounts == 1 else f"user{number}@store.example",
                sessions=SESSIONS // accounts,
            )
            for number in range(accounts)
        ]
        for done in running:
            done.result()
    return each * accounts / (time.perf_counter() - start)
