"""python -m bench [-m MESSAGES] [-r ROUNDS] [-k WORD] [-d FOLDER] [--no-save]

Runs Posthouse and its peers with equal settings and numbers, in turns, and prints medians.
Every figure is appended to bench/results.tsv with machine and commit.

    relay           smtp-source (20 sessions, 4 KiB) -> server -> smtp-sink, a connection for each message: from the
                    start of smtp-source until smtp-sink has counted all
    relay-kept      the same with many messages on each connection
    pipe            the two tools without a server: what they can do at most
    accept-p99      from the final dot to the 250, 20 sessions, 99 of 100
    lmtp            smtp-source by LMTP, kept connections, into one mailbox: native store, Dovecot's Maildir
    lmtp-10         the same into ten mailboxes, two sessions each
    postconf        one `postconf -n`
    sendmail        one `sendmail`, message handed over
    cpu-…           processor time of postconf, postqueue -p, mailq, postmap -q and sendmail, run in turns

`python -m bench queue` measures the queue's commands on a million messages (bench/queue.py),
`python -m bench tables` lookup tables of a million rows and a thousand patterns (bench/tables.py),
`python -m bench imap` commands on a mailbox of 100,000 messages, beside Dovecot (bench/imap.py).

-k WORD runs only measures with that word in their name.
"""

import os
import statistics
import sys
import tempfile

from bench.arguments import read_arguments
from bench.commands import CPU_COMMANDS, cpu_figures, postconf_seconds, sendmail_seconds
from bench.latency import accept_latency
from bench.peer import Peer, PeerFailed
from bench.peers import DovecotPeer, PostfixPeer, posthouse_peer
from bench.relay import pipe_rate, relay_rate, store_rate
from bench.results import Figure, save, show

SESSIONS = 20
MESSAGE_SIZE = 4096


def main(arguments: list[str]) -> int:
    """Run it all."""
    if arguments[:1] == ["queue"]:
        from bench import queue

        return queue.main(arguments[1:])
    if arguments[:1] == ["tables"]:
        from bench import tables

        return tables.main(arguments[1:])
    if arguments[:1] == ["imap"]:
        from bench import imap

        return imap.main(arguments[1:])
    chosen = read_arguments(arguments, "m:r:k:d:h", __doc__ or "", "no-save", "help")
    if isinstance(chosen, int):
        return chosen
    messages, rounds = int(chosen.get("-m", 2000)), int(chosen.get("-r", 3))
    only, folder, keep = chosen.get("-k", ""), chosen.get("-d", ""), "--no-save" not in chosen
    figures: list[Figure] = []
    # /var/tmp is on a disk where /tmp may be in memory: durable mail on a RAM disk measures nothing.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder or "/var/tmp") as place:
        os.chmod(place, 0o755)  # the servers run as users of their own
        figures += _relays(place, messages, rounds, only)
        figures += _stores(place, messages, rounds, only)
    show(figures)
    if keep and figures:
        save(figures, folder or "/var/tmp")
    return 0 if all(figure.values for figure in figures) else 1


def _wanted(name: str, only: str) -> bool:
    return only in name


def _relays(place: str, messages: int, rounds: int, only: str) -> list[Figure]:
    peers: list[Peer] = [PostfixPeer(f"{place}/postfix"), posthouse_peer(f"{place}/posthouse")]
    rates: dict[tuple[str, str], list[float]] = {}
    figures: list[Figure] = []
    running: list[Peer] = []
    cpu = any(_wanted(measure, only) for measure in CPU_COMMANDS)
    measures = [m for m in ("relay", "relay-kept", "accept-p99", "postconf", "sendmail") if _wanted(m, only)]
    try:
        for peer in peers if measures or cpu else []:
            try:
                peer.start()
                running.append(peer)
            except PeerFailed as failure:
                print(f"bench: {peer.name}: {failure}", file=sys.stderr)
                figures += [Figure(measure, peer.name, [], _unit(measure)) for measure in measures]
        if cpu:
            figures += cpu_figures(running, rounds, only)
        for number in range(rounds):
            if _wanted("pipe", only):
                for measure, kept in (("pipe", False), ("pipe-kept", True)):
                    _note(rates, measure, "smtp-sink", lambda k=kept: pipe_rate(messages, kept=k))
            # Each round begins with another peer: what runs second finds warm caches.
            for peer in running if number % 2 == 0 else running[::-1]:
                for measure in measures:
                    _note(rates, measure, peer.name, lambda p=peer, m=measure: _measure(m, p, messages))
    finally:
        for peer in running:
            peer.stop()
    return figures + [Figure(m, name, values, _unit(m)) for (m, name), values in rates.items()]


def _measure(measure: str, peer: Peer, messages: int) -> float:
    if measure in ("relay", "relay-kept"):
        return relay_rate(peer, messages, kept=measure == "relay-kept")
    if measure == "accept-p99":
        return accept_latency(peer, messages)
    return postconf_seconds(peer) if measure == "postconf" else sendmail_seconds(peer)


def _stores(place: str, messages: int, rounds: int, only: str) -> list[Figure]:
    measures = {name: count for name, count in (("lmtp", 1), ("lmtp-10", 10)) if _wanted(name, only)}
    if not measures:
        return []
    rates: dict[tuple[str, str], list[float]] = {}
    figures: list[Figure] = []
    running: list[Peer] = []
    peers: list[Peer] = [DovecotPeer(f"{place}/dovecot"), posthouse_peer(f"{place}/store", store=True)]
    try:
        for peer in peers:
            try:
                peer.start()
                running.append(peer)
            except PeerFailed as failure:
                print(f"bench: {peer.name}: {failure}", file=sys.stderr)
                figures += [Figure(measure, peer.name, [], _unit(measure)) for measure in measures]
        for number in range(rounds):
            for peer in running if number % 2 == 0 else running[::-1]:
                for measure, accounts in measures.items():
                    _note(rates, measure, peer.name, lambda p=peer, a=accounts: store_rate(p, messages, a))
    finally:
        for peer in running:
            peer.stop()
    return figures + [Figure(m, name, values, _unit(m)) for (m, name), values in rates.items()]


def _note(rates: dict[tuple[str, str], list[float]], measure: str, name: str, run: "object") -> None:
    values = rates.setdefault((measure, name), [])
    try:
        value = run()  # type: ignore[operator]  # a lambda without arguments
    except PeerFailed as failure:
        print(f"bench: {measure} {name}: {failure}", file=sys.stderr)
        return
    values.append(value)
    print(
        f"{measure:12} {name:10} {value:10.1f} {_unit(measure):6} (median {statistics.median(values):.1f})", flush=True
    )


def _unit(measure: str) -> str:
    return "ms" if measure in ("accept-p99", "postconf", "sendmail") else "msg/s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
