"""Several sessions on one mailbox: what each was told is always a possible, and at NOOP the true, mailbox.

Each client keeps its view only from what it is told (EXISTS, EXPUNGE, VANISHED, FETCH). Sequence
numbers it uses must mean the messages it believes they mean.
"""

import asyncio
import random
from pathlib import Path

import pytest

from posthouse.access.imap.front import ImapListener
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.settings import ImapdSettings
from posthouse.envelope.content import Content, MemoryBody
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.net.connection import TcpStream
from posthouse.net.pair import stream_pair
from posthouse.wire.imap.client import Response, ResponseReader, pairs
from posthouse.wire.imap.sequence import parse_sequence_set

STEPS = 60
QRESYNC = 2
"""Which of the clients speaks it."""
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "$Label")


class Logins:
    async def authenticate(self, login: str, password: str) -> str | None:
        return login

    async def secret(self, login: str) -> str | None:
        return None


class View:
    """A client: uids by place (None: not asked for yet) and the flags it was told."""

    def __init__(self, stream: TcpStream) -> None:
        self.stream = stream
        self.reader = ResponseReader()
        self.uids: list[int | None] = []
        self.flags: dict[int, frozenset[bytes]] = {}
        self.found: list[int] = []
        self.count = 0

    async def run(self, command: str, *, moves: bool = True) -> Response:
        """moves: whether EXPUNGE may be told now."""
        self.count += 1
        self.stream.write(f"t{self.count} {command}\r\n".encode())
        while True:
            response = self.reader.next_response()
            if response is None:
                data = await self.stream.read(10)
                assert data
                self.reader.receive(data)
                continue
            if response.tag == f"t{self.count}":
                return response
            self.told(response, moves)

    def told(self, response: Response, moves: bool) -> None:
        match response.data:
            case (number, b"EXISTS") if isinstance(number, bytes):
                assert int(number) >= len(self.uids), "EXISTS never takes messages away"
                self.uids += [None] * (int(number) - len(self.uids))
            case (number, b"EXPUNGE") if isinstance(number, bytes):
                assert moves, "no EXPUNGE now"
                uid = self.uids.pop(int(number) - 1)
                self.flags.pop(uid or 0, None)
            case (b"VANISHED", numbers) if isinstance(numbers, bytes):
                known = [uid for uid in self.uids if uid is not None]
                gone = set(parse_sequence_set(numbers).among(known))
                self.uids = [uid for uid in self.uids if uid not in gone]
            case (number, b"FETCH", values) if isinstance(number, bytes):
                found = pairs(values)
                place = int(number) - 1
                if isinstance(uid := found.get(b"UID"), bytes):
                    assert self.uids[place] in (None, int(uid)), "a sequence number means another message"
                    self.uids[place] = int(uid)
                known_uid = self.uids[place]
                flags = found.get(b"FLAGS")
                if isinstance(flags, list) and known_uid is not None:
                    self.flags[known_uid] = frozenset(flag for flag in flags if isinstance(flag, bytes)) - {b"\\Recent"}
            case (b"SEARCH", *numbers):
                self.found = [int(number) for number in numbers if isinstance(number, bytes)]
            case _:
                pass


@pytest.mark.parametrize("seed", range(4))
async def test_what_sessions_are_told_is_the_mailbox(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    store = NativeMailStore(tmp_path / "accounts", threads=2)
    service = ImapService(
        ImapdSettings(imapd_tls_auth_only=False, imapd_client_connection_count_limit=0),
        store.open,
        ProcessLog(MemorySink(), "posthouse/imapd"),
        MemoryJournal(),
        login=Logins(),
    )
    views, tasks = [], []
    for number in range(3):
        near, far = stream_pair()
        tasks.append(asyncio.create_task(ImapListener(service).on_stream(far)))
        view = View(near)
        await view.run("LOGIN tony x")
        if number == QRESYNC:
            await view.run("ENABLE QRESYNC")
        await view.run("SELECT INBOX")
        views.append(view)
    for _ in range(STEPS):
        await step(source, views, store)
    for view in views:
        await view.run("FETCH 1:* (UID)" if view.uids else "NOOP", moves=False)
        await view.run("NOOP")
        await view.run("FETCH 1:* (UID)" if view.uids else "NOOP", moves=False)
        believed = {uid: view.flags.get(uid or 0) for uid in view.uids}
        assert (await view.run("UID SEARCH ALL")).status == "OK"
        assert view.found == list(believed)
        if believed:
            await view.run("FETCH 1:* (UID FLAGS)", moves=False)
            for uid, flags in believed.items():
                assert flags is None or uid is None or flags == view.flags[uid], "a change of flags was never told"
        await view.run("LOGOUT")
    await asyncio.gather(*tasks)
    await store.close()


async def step(source: random.Random, views: list[View], store: NativeMailStore) -> None:
    view = source.choice(views)
    place = source.randint(1, len(view.uids)) if view.uids else 0
    known = [uid for uid in view.uids if uid is not None]
    match source.randint(0, 9):
        case 0 | 1:
            await store.deliver("tony", Content(b"Subject: x\r\n", MemoryBody(b"y\r\n")))
        case 2:
            await view.run("NOOP")
        case 3 if place:
            await view.run(f"FETCH {place}:* (UID FLAGS)", moves=False)
        case 4 if place:
            sign, flag = source.choice("+-"), source.choice(FLAGS)
            silent = source.choice(("", ".SILENT"))
            if silent:
                view.flags.pop(view.uids[place - 1] or 0, None)
            await view.run(f"STORE {place} {sign}FLAGS{silent} ({flag})", moves=False)
        case 5 if known:
            await view.run(f"UID STORE {source.choice(known)} +FLAGS (\\Deleted)")
        case 6:
            await view.run("EXPUNGE")
        case 7 if place:
            await view.run(f"COPY {place} INBOX")
        case 8 if place:
            await view.run(f"MOVE {place} Trash")
        case 9 if place:
            await view.run(f"FETCH {place} BODY[TEXT]", moves=False)
        case _:
            await view.run("SEARCH ALL", moves=False)
    if view is views[QRESYNC] and None in view.uids:  # VANISHED means nothing to a client that does not know its uids
        await view.run("FETCH 1:* (UID)", moves=False)
