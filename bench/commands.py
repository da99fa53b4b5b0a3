"""How long the commands take that people and programs start all day."""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Sequence

from bench.peer import Peer, PeerFailed
from bench.relay import Sink
from bench.results import Figure

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


# {config} is the peer's configuration directory, {map} a table of one row that both know how to read.
CPU_COMMANDS = {
    "cpu-postconf": ("postconf", "-c", "{config}", "myhostname"),
    "cpu-postqueue": ("postqueue", "-c", "{config}", "-p"),
    "cpu-mailq": ("mailq", "-C", "{config}"),
    "cpu-postmap": ("postmap", "-c", "{config}", "-q", "key", "hash:{map}"),
    "cpu-sendmail": ("sendmail", "-C", "{config}", "-f", "sender@source.example", "user@far.example"),
}


def cpu_seconds(arguments: Sequence[str], data: bytes = b"") -> float:
    """Milliseconds of processor time, user and system, of one command and what it waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(arguments, input=data, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerFailed(str(error)) from error
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise PeerFailed(f"{arguments[0]}: exit {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def cpu_figures(peers: Sequence[Peer], rounds: int, only: str) -> list[Figure]:
    """What each command costs, run after run in turns: whatever disturbs the machine disturbs all alike."""
    figures = []
    for measure, words in CPU_COMMANDS.items():
        if only not in measure:
            continue
        values: dict[str, list[float]] = {peer.name: [] for peer in peers}
        sinks = [Sink(peer.sink_port, rounds * RUNS) for peer in peers if measure == "cpu-sendmail"]
        try:
            for _ in range(rounds):
                costs: dict[str, list[float]] = {peer.name: [] for peer in peers}
                for _ in range(RUNS):
                    for peer in peers:
                        costs[peer.name].append(cpu_seconds(_command(peer, words), MESSAGE))
                for name, cost in costs.items():
                    values[name].append(statistics.median(cost))
            for sink in sinks:
                sink.wait(90.0)
        finally:
            for sink in sinks:
                sink.close()
        figures += [Figure(measure, name, value, "ms cpu") for name, value in values.items()]
        print(f"{measure:14} {_ratio(values)}", flush=True)
    return figures


def _ratio(values: dict[str, list[float]]) -> str:
    middle = {name: statistics.median(value) for name, value in values.items()}
    told = "  ".join(f"{name} {value:.1f} ms" for name, value in middle.items())
    if {"postfix", "posthouse"} <= middle.keys():
        told += f"  ratio {middle['posthouse'] / middle['postfix']:.1f}"
    return told


def _command(peer: Peer, words: Sequence[str]) -> list[str]:
    program = f"{peer.commands}{words[0]}"
    if not os.path.exists(program):
        program = f"/usr/bin/{words[0]}"  # where Debian has mailq
    table = f"{peer.config}/table"
    if not os.path.exists(table):
        with open(table, "w", encoding="ascii") as file:
            file.write("key value\n")
        subprocess.run([f"{peer.commands}postmap", "-c", peer.config, f"hash:{table}"], check=True)
    return [program, *(word.format(config=peer.config, map=table) for word in words[1:])]
