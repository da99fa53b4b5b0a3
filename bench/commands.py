"""How long the commands take that people and programs start all day."""

import statistics
import subprocess
import time

from bench.peer import Peer, PeerFailed
from bench.relay import Sink

RUNS = 15
MESSAGE = b"Subject: bench\n\n" + b"x" * 500 + b"\n"


def _median(arguments: list[str], data: bytes) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        try:
            done = subprocess.run(arguments, input=data, capture_output=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerFailed(str(error)) from error
        times.append(time.perf_counter() - start)
        if done.returncode != 0:
            raise PeerFailed(f"{arguments[0]}: exit {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    return statistics.median(times) * 1000


def postconf_seconds(peer: Peer) -> float:
    """Milliseconds of one `postconf -n`."""
    return _median([f"{peer.commands}postconf", "-c", peer.config, "-n"], b"")


def sendmail_seconds(peer: Peer) -> float:
    """Milliseconds until sendmail has handed one message over and returns."""
    sink = Sink(peer.sink_port, RUNS)
    try:
        arguments = [f"{peer.commands}sendmail", "-C", peer.config, "-f", "sender@source.example", "user@far.example"]
        value = _median(arguments, MESSAGE)
        sink.wait(90.0)
    finally:
        sink.close()
    return value
