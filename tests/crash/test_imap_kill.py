"""kill -9 of the process that serves IMAP, in the middle of APPEND, EXPUNGE, COPY, MOVE and RENAME.

The client keeps a book of what it was told. After each kill the server is started anew on the same files:

* every message whose APPEND, COPY or MOVE was acknowledged, and whose removal was not asked for, is there, whole;
* the command that was cut off happened, or did not; a MOVE in flight may leave a message in both mailboxes where they
  have no common transaction (Maildir++), never in none;
* one uid never means two messages under one uid_validity, and new ones are above all that were told;
* the first login is served at once: no lock of the dead process is waited for.

POSTHOUSE_KILLS=N makes the run longer.
"""

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import posthouse
from posthouse.access.imap.front import ImapListener
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.settings import ImapdSettings
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.mailbox.maildir.store import maildir_store
from posthouse.mailbox.mbox.store import mbox_store
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.native.verify import verify_account
from posthouse.mailbox.store import MailStore
from posthouse.net.tcp import start_server

KILLS = int(os.environ.get("POSTHOUSE_KILLS", "6"))
LARGE = 10_000_000
SOON = 12.0
"""Seconds within which a new session is served after a kill: far below deliver_lock_attempts."""


class Logins:
    """Anyone."""

    async def authenticate(self, login: str, password: str) -> str | None:
        return login

    async def secret(self, login: str) -> str | None:
        return None


class Errors(MemorySink):
    """Warnings go where a failing test shows them."""

    def write(self, name: str, level: str, text: str, number: int) -> None:
        if level != "info":
            print(f"{name}: {level}: {text}", file=sys.stderr, flush=True)


def make(kind: str, folder: Path) -> MailStore:
    if kind == "maildir":
        return maildir_store(lambda _account: folder / "Maildir")
    if kind == "mbox":
        return mbox_store(lambda _account: (folder / "spool", folder / "index"))
    return NativeMailStore(folder, threads=2)


async def serve(kind: str, folder: Path) -> None:
    """The child: one listener, for ever."""
    settings = ImapdSettings(imapd_tls_auth_only=False, imapd_append_limit=0)
    log = ProcessLog(Errors(), "posthouse/imapd")
    service = ImapService(settings, make(kind, folder).open, log, MemoryJournal(), login=Logins())
    bound = socket.create_server(("127.0.0.1", 0))
    bound.setblocking(False)
    await start_server(bound, ImapListener(service).on_stream)
    print(bound.getsockname()[1], flush=True)
    await asyncio.Event().wait()


class Server:
    """The child process and a client of it."""

    def __init__(self, kind: str, folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(posthouse.__file__).parents[1])}
        self.process = subprocess.Popen(
            [sys.executable, __file__, kind, str(folder)], stdout=subprocess.PIPE, env=environment
        )
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        began = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.count = 0
        self.run(b"LOGIN a@x word")
        self.run(b"SELECT INBOX")
        assert time.monotonic() - began < SOON, "the first session waits for something that the dead process left"

    def send(self, command: bytes) -> bytes:
        self.count += 1
        tag = b"t%d " % self.count
        self.socket.sendall(tag + command + b"\r\n")
        return tag

    def answer(self, tag: bytes) -> list[bytes] | None:
        """Response lines with literals in place, the tagged one last; None when the server died."""
        lines = []
        while True:
            try:
                line = self.file.readline()
                while match := re.search(rb"\{(\d+)\}\r\n\Z", line):
                    line += self.file.read(int(match[1]))
                    line += self.file.readline()
            except ConnectionError:
                return None
            if not line.endswith(b"\n"):
                return None
            lines.append(line)
            if line.startswith(tag):
                return lines

    def run(self, command: bytes) -> list[bytes]:
        lines = self.answer(self.send(command))
        assert lines is not None
        assert b" OK" in lines[-1][:12], (command[:100], lines[-1])
        return lines

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def end(self) -> None:
        self.kill()
        self.process.wait()
        self.socket.close()
        self.file.close()
        assert self.process.stdout is not None
        self.process.stdout.close()


def body(number: int, size: int) -> bytes:
    return b"X-Number: %d\r\n\r\n" % number + (b"%059d\r\n" % number) * (size // 61 + 1)


class Book:
    """What the client knows."""

    def __init__(self, kind: str, source: random.Random) -> None:
        self.kind = kind
        self.source = source
        self.numbers = iter(range(1, 1_000_000))
        self.there: dict[str, Counter[int]] = {"INBOX": Counter()}
        self.sizes: dict[int, int] = {}
        self.meanings: dict[tuple[int, int], int] = {}
        self.highest: dict[int, int] = {}

    # -- commands: bytes, and what the mailboxes are when it happened ------------------------

    def command(self) -> tuple[bytes, dict[str, Counter[int]]]:
        after = {name: Counter(numbers) for name, numbers in self.there.items()}
        inbox = sorted(self.there["INBOX"].elements())
        folders = [name for name in self.there if name != "INBOX"]
        verbs = ["append", "append", "expunge"] if inbox else ["append"]
        if self.kind == "mbox" and inbox:
            verbs += ["copy"]
        elif folders and inbox:
            verbs += ["copy", "move", "move", "rename"]
        verb = self.source.choice(verbs)
        if verb == "append":
            number = next(self.numbers)
            size = LARGE if number == 2 or self.source.random() < 0.1 else self.source.choice((100, 3_000, 100_000))
            self.sizes[number] = size
            after["INBOX"][number] += 1
            message = body(number, size)
            return b"APPEND INBOX {%d+}\r\n" % len(message) + message, after
        low = self.source.randint(1, len(inbox))
        numbers = self.told[low - 1 : low + 2]
        chosen = b"%d:%d" % (low, low + len(numbers) - 1)
        if verb == "copy" and self.kind == "mbox" and any(self.sizes[number] == LARGE for number in numbers):
            verb = "expunge"  # the file would grow without end
        if verb == "expunge":
            after["INBOX"] -= Counter(numbers)
            return b"UID EXPUNGE " + b",".join(b"%d" % uid for uid in self.mark(chosen, numbers)), after
        if verb == "rename":
            name = self.source.choice(folders)
            new = f"f{next(self.numbers)}"
            after[new] = after.pop(name)
            return f"RENAME {name} {new}".encode(), after
        target = self.source.choice(folders) if folders else "INBOX"
        after[target] += Counter(numbers)
        if verb == "move":
            after["INBOX"] -= Counter(numbers)
        return b"%b %b %b" % (verb.upper().encode(), chosen, target.encode()), after

    def mark(self, chosen: bytes, numbers: list[int]) -> list[int]:
        """\\Deleted, told and durable, for the EXPUNGE that follows; gives the uids."""
        lines = self.server.run(b"STORE %b +FLAGS (\\Deleted)" % chosen)
        lines = self.server.run(b"FETCH %b UID" % chosen)
        uids = [int(match[1]) for line in lines if (match := re.search(rb"UID (\d+)", line))]
        assert len(uids) == len(numbers)
        return uids

    # -- looking ----------------------------------------------------------------------------

    def look(self, server: Server) -> dict[str, Counter[int]]:
        """What there is, each message whole; INBOX is selected afterwards."""
        self.server = server
        found = {}
        for line in server.run(b'LIST "" *'):
            name = line.split()[-1].decode().strip('"')
            if line.startswith(b"* LIST") and (name == "INBOX" or name.startswith("f")):
                found[name] = Counter(self.read(server, name))
        self.told = list(self.read(server, "INBOX"))
        return found

    def read(self, server: Server, name: str) -> list[int]:
        lines = server.run(b"SELECT " + name.encode())
        told = b"".join(lines)
        validity = int(re.search(rb"UIDVALIDITY (\d+)", told)[1])  # type: ignore[index]
        following = int(re.search(rb"UIDNEXT (\d+)", told)[1])  # type: ignore[index]
        assert following > self.highest.get(validity, 0), "a uid is given again"
        numbers = []
        for line in server.run(b"FETCH 1:* (UID BODY.PEEK[])"):
            if b"BODY[] {" not in line:
                continue
            uid = int(re.search(rb"UID (\d+)", line)[1])  # type: ignore[index]
            content = line.partition(b"}\r\n")[2]
            number = int(re.match(rb"X-Number: (\d+)", content)[1])  # type: ignore[index]
            wanted = body(number, self.sizes[number])
            assert content.startswith(wanted) and len(content) < len(wanted) + 100, f"message {number} is not whole"
            assert self.meanings.setdefault((validity, uid), number) == number, "a uid means another message"
            self.highest[validity] = max(self.highest.get(validity, 0), uid)
            numbers.append(number)
        return numbers


def check(
    book: Book, found: dict[str, Counter[int]], before: dict[str, Counter[int]], after: dict[str, Counter[int]]
) -> None:
    """found is before, or after, or what a command that was cut off may leave between them."""
    if found in (before, after):
        return
    if book.kind == "native":
        raise AssertionError(f"{found} is neither {before} nor {after}")
    every = sum(found.values(), Counter())
    least = sum(before.values(), Counter()) & sum(after.values(), Counter())
    most = (
        sum(before.values(), Counter())
        | sum(after.values(), Counter())
        | sum((before[name] | after.get(name, Counter()) for name in before), Counter())
    )
    most |= sum((after[name] | before.get(name, Counter()) for name in after), Counter())
    assert every >= least, f"lost: {least - every}"
    assert every <= most, f"more than before and after together: {every - most}"


@pytest.mark.parametrize("kind", ["native", "maildir", "mbox"])
def test_what_imap_acknowledged_survives_kill_9(kind: str, tmp_path: Path) -> None:
    source = random.Random(int(os.environ.get("POSTHOUSE_SEED", "1")))
    book = Book(kind, source)
    server = Server(kind, tmp_path)
    try:
        if kind != "mbox":
            for name in ("f-a", "f-b"):
                server.run(b"CREATE " + name.encode())
                book.there[name] = Counter()
        book.look(server)
        for _ in range(KILLS):
            for _ in range(source.randint(0, 4)):
                command, after = book.command()
                server.run(command)
                book.there = after
                assert book.look(server) == {name: +numbers for name, numbers in after.items()}
            command, after = book.command()
            answered = cut_off(server, command, source)
            server.end()
            server = Server(kind, tmp_path)
            found = book.look(server)
            before = {name: +numbers for name, numbers in book.there.items()}
            after = {name: +numbers for name, numbers in after.items()}
            if answered:
                assert found == after, "what was acknowledged"
            else:
                check(book, found, before, after)
            book.there = found
    finally:
        server.end()
    if kind == "native":
        assert asyncio.run(problems(tmp_path)) == ()


def cut_off(server: Server, command: bytes, source: random.Random) -> bool:
    """Kill the server while it carries a command out, or while it still reads it. Whether it had answered."""
    server.count += 1
    tag = b"t%d " % server.count
    if len(command) > 1000 and source.random() < 0.4:
        server.socket.sendall(tag + command[: source.randint(1, len(command) - 1)])
        time.sleep(source.random() * 0.02)
        server.kill()
        return False
    try:
        server.socket.sendall(tag + command + b"\r\n")
    except ConnectionError:
        return False
    time.sleep(source.random() ** 2 * 0.03)
    server.kill()
    lines = server.answer(tag)
    return lines is not None and b" OK" in lines[-1][:12]


async def problems(folder: Path) -> tuple[str, ...]:
    store = NativeMailStore(folder)
    try:
        return (await verify_account(store, "a@x")).problems
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
