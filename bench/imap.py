"""python -m bench imap [-n MESSAGES] [-r ROUNDS] [-d FOLDER] [--no-save]: commands on a large mailbox, beside Dovecot.

One session fills a mailbox with small messages (100,000, unless -n says otherwise) by APPEND, a hundred at a time;
then each command is given by itself, in clear text, in a session of its own. Seconds of processor time of all of a
server's processes are shown, and seconds until the answer was there: medians of the rounds. The first SELECT of a
server reads whatever it keeps about the mailbox; Dovecot keeps it in index files beside its Maildir.
"""

import os
import random
import socket
import statistics
import sys
import tempfile
import time

from bench.arguments import read_arguments
from bench.peer import PeerFailed
from bench.peers import ACCOUNT, DovecotPeer, PostfixPeer, posthouse_peer
from bench.results import Figure, save

GROUP = 100
"""Messages in one APPEND."""
TIMEOUT = 300.0
FLAGS = ("", "\\Seen", "\\Seen \\Answered", "\\Flagged", "\\Seen $Label1")
COMMANDS = {
    "select": "NOOP",
    "flags": "FETCH 1:* (FLAGS)",
    "sync": "UID FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)",
    "unseen": "SEARCH UNSEEN",
    "all": "UID SEARCH ALL",
    "keyword": "SEARCH KEYWORD $Label1 SINCE 1-Jan-2020",
    "subject": "SEARCH SUBJECT 99999",
    "body": "SEARCH BODY hello-99999",
    "headers": "FETCH 1:5000 (UID FLAGS BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT TO)])",
    "envelopes": "FETCH 1:5000 (ENVELOPE)",
    "structures": "FETCH 1:5000 (BODYSTRUCTURE)",
    "bodies": "FETCH 1:5000 (BODY.PEEK[])",
    "store": "UID STORE 1:5000 +FLAGS.SILENT (\\Flagged)",
    "store-back": "UID STORE 1:5000 -FLAGS.SILENT (\\Flagged)",
    "copy": "UID COPY 1:1000 other",
}


class Session:
    """One client, one command after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._rest = b""
        while b"\r\n" not in self._rest:
            self._more()
        self._rest = b""
        self._count = 0
        self.say(f"LOGIN {ACCOUNT} {ACCOUNT}")

    def _more(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise PeerFailed("the connection ended")
        self._rest = self._rest[-4096:] + data  # enough to see the tag at the beginning of the last line

    def say(self, command: "str | bytes") -> None:
        """One command, and its whole answer. Raises PeerFailed where it is not OK."""
        self._count += 1
        tag = b"A%d" % self._count
        self._socket.sendall(tag + b" " + (command.encode() if isinstance(command, str) else command) + b"\r\n")
        while True:
            begin = self._rest.rfind(b"\r\n", 0, -2) + 2 if b"\r\n" in self._rest[:-2] else 0
            last = self._rest[begin:]
            if last.startswith(tag + b" ") and last.endswith(b"\r\n"):
                break
            self._more()
        if not last.startswith(tag + b" OK"):
            raise PeerFailed(last.decode(errors="replace"))
        self._rest = b""

    def close(self) -> None:
        """Log out."""
        self.say("LOGOUT")
        self._socket.close()


def _message(number: int) -> bytes:
    return (
        f"From: someone{number}@source.example\r\nTo: {ACCOUNT}\r\nSubject: number {number} of many\r\n"
        f"Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@source.example>\r\n\r\nhello-{number}\r\n"
    ).encode()


def fill(port: int, messages: int) -> None:
    """A mailbox of so many messages, with the same flags for each server."""
    session = Session(port)
    chosen = random.Random(1)  # noqa: S311 - the same flags in every run
    for start in range(0, messages, GROUP):
        texts = [_message(number) for number in range(start, min(start + GROUP, messages))]
        pieces = [f" ({chosen.choice(FLAGS)}) {{{len(text)}+}}\r\n".encode() + text for text in texts]
        session.say(b"APPEND INBOX" + b"".join(pieces))
    session.say("CREATE other")
    session.close()


def family(root: int) -> list[int]:
    """The process and all that came of it."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="latin-1") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def used(root: int) -> float:
    """Seconds of processor time of the processes of a server, those that ended included."""
    ticks = 0
    for pid in family(root):
        try:
            with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(peer: "DovecotPeer | PostfixPeer", rounds: int) -> list[Figure]:
    """Each command, in a session that has selected the mailbox."""
    walls: dict[str, list[float]] = {}
    cpus: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            session = Session(peer.port)
            before, start = used(peer.pid), time.perf_counter()
            session.say("SELECT INBOX")
            if name != "select":
                before, start = used(peer.pid), time.perf_counter()
                session.say(command)
            walls.setdefault(name, []).append(time.perf_counter() - start)
            cpus.setdefault(name, []).append(used(peer.pid) - before)
            session.close()
    figures = []
    for name in COMMANDS:
        print(
            f"{peer.name:10} {name:12} {statistics.median(walls[name]):8.3f} s, "
            f"{statistics.median(cpus[name]):6.2f} s of processor time   {COMMANDS[name]}"
        )
        figures.append(Figure(f"imap-{name}", peer.name, [value * 1000 for value in walls[name]], "ms"))
    return figures


def main(arguments: list[str]) -> int:
    """Run it all."""
    chosen = read_arguments(arguments, "n:r:d:h", __doc__ or "", "no-save", "help")
    if isinstance(chosen, int):
        return chosen
    messages, rounds, folder = int(chosen.get("-n", 100_000)), int(chosen.get("-r", 3)), chosen.get("-d", "")
    figures: list[Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder or "/var/tmp") as place:
        os.chmod(place, 0o755)
        peers: list[DovecotPeer | PostfixPeer] = [
            DovecotPeer(f"{place}/dovecot", imap=True),
            posthouse_peer(f"{place}/posthouse", imap=True),
        ]
        for peer in peers:
            try:
                peer.start()
            except PeerFailed as failure:
                print(f"bench: {peer.name}: {failure}", file=sys.stderr)
                failed = True
                continue
            try:
                start = time.perf_counter()
                fill(peer.port, messages)
                rate = messages / (time.perf_counter() - start)
                print(f"{peer.name:10} {'append':12} {rate:8.0f} messages/s")
                figures.append(Figure("imap-append", peer.name, [rate], "msg/s"))
                figures += measure(peer, rounds)
            except PeerFailed as failure:
                print(f"bench: {peer.name}: {failure}", file=sys.stderr)
                failed = True
            finally:
                peer.stop()
    if figures and "--no-save" not in chosen:
        save(figures, folder or "/var/tmp")
    return 1 if failed else 0
