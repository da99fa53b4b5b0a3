"""Sessions of broken commands: each ends by LOGOUT or BYE, and nothing escapes from it."""

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
from posthouse.net.pair import stream_pair

SESSIONS = 12
COMMANDS = 25

SEEDS = [
    b"SELECT INBOX",
    b"EXAMINE Sent",
    b"FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY[1.HEADER.FIELDS (a)] BODY[]<0.10>)",
    b"UID FETCH 1:3,5 ALL",
    b"FETCH 1 (BODY[TEXT] BODY[1.MIME] BODY[2.1.TEXT] RFC822.HEADER MODSEQ EMAILID)",
    b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE 2 VANISHED)",
    b"STORE 1:2 +FLAGS (\\Deleted x)",
    b"UID STORE 1:* (UNCHANGEDSINCE 3) -FLAGS.SILENT \\Seen",
    b"EXPUNGE",
    b"UID EXPUNGE 1:5",
    b"SEARCH RETURN (MIN ALL COUNT SAVE) OR TEXT a NOT FROM b SINCE 1-Jan-2000",
    b'UID SEARCH BODY "x" $',
    b"COPY 1:2 Sent",
    b"MOVE 1 Archive",
    b"CREATE a/b/c",
    b"DELETE a/b",
    b"RENAME a x",
    b'LIST (SUBSCRIBED) "" (% *) RETURN (CHILDREN STATUS (MESSAGES HIGHESTMODSEQ))',
    b'LSUB "" *',
    b"STATUS INBOX (MESSAGES UNSEEN APPENDLIMIT)",
    b"APPEND INBOX (\\Seen) {20+}\r\nSubject: x\r\n\r\nabcdef",
    b"APPEND Sent {3+}\r\nabc {4+}\r\nabcd",
    b"IDLE\r\nDONE",
    b"CLOSE",
    b"ENABLE QRESYNC",
    b"SELECT INBOX (QRESYNC (1795499045 3 1:5 (1 1)))",
    b"GETQUOTAROOT INBOX",
]
OCTETS = b'\r\n\0 ()[]{}<>"\\*%+&~$,:.\xff\xc3aA10'


class Anyone:
    async def authenticate(self, login: str, password: str) -> str | None:
        return login

    async def secret(self, login: str) -> str | None:
        return None


def broken(command: bytes, source: random.Random) -> bytes:
    result = bytearray(command)
    for _ in range(source.randint(0, 3)):
        place = source.randint(0, len(result))
        if source.random() < 0.5:
            result.insert(place, source.choice(OCTETS))
        else:
            del result[place : place + source.randint(1, 4)]
    return bytes(result)


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_escapes_from_a_session(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    store = NativeMailStore(tmp_path / "accounts", threads=1)
    header = b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n"
    for body in (b"", b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: i\r\n\r\nq\r\n--b\r\n\r\nzz\r\n--b--\r\n"):
        await store.deliver("tony", Content(header, MemoryBody(body)))
    sink = MemorySink()
    service = ImapService(
        ImapdSettings(imapd_tls_auth_only=False, imapd_hard_error_limit=1000),
        store.open,
        ProcessLog(sink, "posthouse/imapd"),
        MemoryJournal(),
        login=Anyone(),
    )
    for _ in range(SESSIONS):
        near, far = stream_pair()
        session = asyncio.create_task(ImapListener(service).on_stream(far))
        commands = [broken(b"a%d %b\r\n" % (number, source.choice(SEEDS)), source) for number in range(COMMANDS)]
        near.write(b"a LOGIN tony x\r\n" + b"".join(commands) + b"\r\nDONE\r\nz LOGOUT\r\n")
        near.close()  # what waits for a literal that never comes ends here
        async with asyncio.timeout(20):
            await session
    assert not [line for line in sink.lines if "warning" in line]
    await store.close()
