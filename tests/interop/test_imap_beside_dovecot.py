"""The same sessions with Dovecot and with ours, random and interleaved: what they answer and what they leave behind.

Each step is one command in one of three sessions, given to both. Compared are the answer's word and code, the data
where the RFC leaves one answer only, the clients' views whenever both were told everything, and all mailboxes at the
end: uids, flags, contents. When changes of others are told may differ (RFC 3501 section 7: whenever the server likes).
"""

import asyncio
import os
import random
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from posthouse.access.imap.front import ImapListener
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.settings import ImapdSettings
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.mailbox.maildir.store import maildir_store
from posthouse.mailbox.mbox.store import mbox_store
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.store import SPECIAL_USE, MailStore
from posthouse.net.pair import stream_pair
from posthouse.net.tcp import connect
from posthouse.wire.imap.client import Response, pairs
from posthouse.wire.imap.sequence import format_set
from tests.interop import private_dovecot
from tests.interop.imap_view import TIMEOUT, View, without_recent
from tests.interop.private_dovecot import PrivateDovecot
from tests.system.machine import eventually

SEEDS = int(os.environ.get("POSTHOUSE_SIDE_SEEDS", "2"))
STEPS = int(os.environ.get("POSTHOUSE_SIDE_STEPS", "150"))
SESSIONS = 3
HISTORY = int(os.environ.get("POSTHOUSE_SIDE_HISTORY", "40"))
NAMES = (b"a", b"a/b", b"c", b"c/d", b'"x y"', b"&AOk-")
FLAGS = (b"\\Seen", b"\\Flagged", b"\\Deleted", b"\\Answered", b"\\Draft", b"$Label", b"Junk", b"kEy")
ITEMS = (
    b"(FLAGS)",
    b"(UID FLAGS RFC822.SIZE)",
    b"(UID BODY.PEEK[])",
    b"(INTERNALDATE ENVELOPE)",
    b"(UID BODYSTRUCTURE)",
    b"(BODY[TEXT])",
    b"(UID BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)])",
    b"(UID BODY.PEEK[1]<1.5>)",
    b"FAST",
    b"ALL",
    b"FULL",
)
KEYS = (
    b"ALL",
    b"DELETED",
    b"UNSEEN",
    b"NOT SEEN",
    b"KEYWORD $label",
    b"SUBJECT 7",
    b"OR FLAGGED ANSWERED",
    b"LARGER 200",
    b"BODY brown",
    b"TEXT 1",
    b"SENTSINCE 2-Feb-2020",
    b"SINCE 1-Feb-1994 BEFORE 1-Feb-2035",
    b"HEADER X-Number 3",
    b"UID 1:5",
    b"2:4",
    b"UNDRAFT UNANSWERED",
)
OURS_ALONE = frozenset(SPECIAL_USE)
"""What the native store's accounts are born with."""


class Logins:
    """Anyone."""

    async def authenticate(self, login: str, password: str) -> str | None:
        return login

    async def secret(self, login: str) -> str | None:
        return None


class Ours:
    """A listener over one kind of store."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.store: MailStore
        if kind == "native":
            self.store = NativeMailStore(folder, threads=2)
        elif kind == "maildir":
            self.store = maildir_store(lambda account: folder / account / "Maildir")
        else:
            folder.mkdir()
            self.store = mbox_store(lambda account: (folder / account, folder / f"{account}.index"))
        settings = ImapdSettings(imapd_tls_auth_only=False, imapd_client_connection_count_limit=0)
        log = ProcessLog(MemorySink(), "posthouse/imapd")
        self.listener = ImapListener(ImapService(settings, self.store.open, log, MemoryJournal(), login=Logins()))
        self.tasks: list[asyncio.Task[None]] = []

    def connect(self) -> View:
        near, far = stream_pair()
        self.tasks.append(asyncio.create_task(self.listener.on_stream(far)))
        return View(near)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.store.close()


@pytest.fixture(scope="module")
def dovecot() -> Iterator[PrivateDovecot]:
    with tempfile.TemporaryDirectory(prefix="posthouse-dovecot-") as folder:
        Path(folder).chmod(0o755)
        made = private_dovecot.start(Path(folder) / "dovecot")
        try:
            eventually(lambda: _listens(made.imap), "dovecot")
            yield made
        finally:
            private_dovecot.stop(made)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Session:
    """The same client of both."""

    def __init__(self, ours: View, theirs: View) -> None:
        self.ours = ours
        self.theirs = theirs
        self.selected = b""
        self.read_only = False
        self.condstore = False
        self.checkpoint: tuple[int, int, frozenset[int]] | None = None

    @property
    def agree(self) -> bool:
        """Whether both were told of the same messages."""
        return self.ours.uids == self.theirs.uids and None not in self.ours.uids

    @property
    def uids(self) -> list[int]:
        """Those that both know."""
        theirs = set(self.theirs.uids)
        return [uid for uid in self.ours.uids if uid is not None and uid in theirs]


class Sides:
    """Everything of one run."""

    def __init__(self, kind: str, dovecot: PrivateDovecot, ours: Ours, user: str, seed: int) -> None:
        self.kind = kind
        self.dovecot = dovecot
        self.ours = ours
        self.user = user
        self.source = random.Random(seed)
        self.sessions: list[Session] = []
        self.number = 0
        self.history: list[str] = []

    async def open(self, *, qresync: bool = False) -> Session:
        theirs = View(await connect("127.0.0.1", self.dovecot.imap, timeout=TIMEOUT))
        ours = self.ours.connect()
        for view in (ours, theirs):
            await view.response()
            login = await view.run(b"LOGIN %b word" % self.user.encode())
            assert login.status == "OK", login
            if qresync:
                await view.run(b"ENABLE QRESYNC")
                view.qresync = True
        return Session(ours, theirs)

    async def both(
        self, session: Session, command: bytes, theirs: bytes = b"", *, code: bool = True, done: bool = False
    ) -> tuple[Response, Response]:
        """One command to both; the answers' words are the same, and their codes when code is set."""
        self.history.append(f"{self.sessions.index(session) if session in self.sessions else '-'} {command[:100]!r}")
        first = await session.ours.run(command, done=done)
        second = await session.theirs.run(theirs or command, done=done)
        self.history.append(
            f"    ours {first.status} [{first.code}] {first.text}"
            f" / dovecot {second.status} [{second.code}] {second.text}"
        )
        # RFC 3501 section 6.4.7 wants TRYCREATE; Dovecot looks for messages first.
        same = first.status == second.status or (first.code == "TRYCREATE" and second.text.startswith("No messages"))
        assert same, self.story(f"{command!r}: {first} / {second}")
        if code and first.status == "OK":
            names = [answer.code.partition(" ")[0] for answer in (first, second)]
            assert names[0] == names[1] or {*names} <= {"", "HIGHESTMODSEQ", "MAILBOXID"}, self.story(
                f"{command!r}: {first} / {second}"
            )
        return first, second

    def story(self, what: str) -> str:
        """What led to it."""
        return what + "\n" + "\n".join(self.history[-HISTORY:])

    async def settle(self, session: Session) -> None:
        """Both are told everything; then they agree."""
        if not session.selected:
            return
        await self.both(session, b"NOOP")
        await self.learn(session)
        await self.both(session, b"NOOP")
        await self.learn(session)
        assert session.ours.uids == session.theirs.uids, self.story(
            f"views: {session.ours.uids} / {session.theirs.uids}"
        )
        for uid in session.uids:
            mine, other = session.ours.flags.get(uid), session.theirs.flags.get(uid)
            assert mine is None or other is None or mine == other, self.story(f"flags of {uid}: {mine} / {other}")

    async def learn(self, session: Session) -> None:
        """Ask for the uids (and flags) that are not known."""
        for view in (session.ours, session.theirs):
            if None in view.uids:
                first = view.uids.index(None) + 1
                answer = await view.run(b"FETCH %d:* (UID FLAGS)" % first)
                assert answer.status in {"OK", "NO"}, self.story(str(answer))

    # -- steps ----------------------------------------------------------------------------

    def some_uids(self, session: Session) -> bytes:
        """A set of uids, some of them long gone."""
        known = session.uids
        if not known or (session.agree and self.source.random() < 0.1):
            return b"%d:%d" % (self.source.randint(1, 5), self.source.randint(1, 60))
        if session.agree and self.source.random() < 0.2:
            return b"%d:*" % self.source.choice(known)
        return format_set(sorted(self.source.sample(known, min(len(known), self.source.randint(1, 3)))))

    def some_numbers(self, session: Session) -> bytes:
        count = len(session.ours.uids)
        first = self.source.randint(1, count)
        return self.source.choice((b"%d" % first, b"%d:%d" % (first, self.source.randint(1, count)), b"%d:*" % first))

    def flags(self) -> bytes:
        return b"(" + b" ".join(self.source.sample(FLAGS, self.source.randint(0, 3))) + b")"

    def name(self) -> bytes:
        if self.kind == "mbox":
            return b"INBOX"
        return self.source.choice((b"INBOX", *NAMES))

    async def step(self) -> None:
        source = self.source
        session = source.choice(self.sessions)
        if not session.selected:
            await self.select(session)
            return
        match source.choice(STEP_KINDS):
            case "append":
                await self.append(session)
            case "store":
                await self.store(session)
            case "fetch":
                await self.fetch(session)
            case "search":
                await self.search(session)
            case "expunge":
                await self.expunge(session)
            case "copy":
                await self.copy(session)
            case "settle":
                await self.settle(session)
            case "idle":
                await self.both(session, b"IDLE", done=True)
                await self.learn(session)
            case "select":
                await self.select(session)
            case "close":
                await self.close(session)
            case "folder":
                await self.folder(session)
            case "status":
                await self.status(session)
            case "condstore":
                await self.conditional(session)
            case "checkpoint":
                await self.check(session)
        await self.learn(session)

    async def append(self, session: Session) -> None:
        self.number += 1
        # Of an empty body in an mbox Dovecot counts the empty line before the next message.
        lines = self.source.randint(1 if self.kind == "mbox" else 0, 5)
        body = b"The quick brown fox %d\r\n" % self.number * lines
        if self.number % 3 == 0:
            body = MULTIPART % self.number
        message = (
            b"From: Tom <tom%d@example.com>\r\nTo: x@example.com\r\nSubject: number %d\r\n"
            b"Date: Sun, 2 Feb 2020 10:00:00 +0000\r\nX-Number: %d\r\nMIME-Version: 1.0\r\nContent-Type: %b\r\n\r\n%b"
        ) % (
            self.number,
            self.number,
            self.number,
            b"multipart/mixed; boundary=cut" if self.number % 3 == 0 else b"text/plain",
            body,
        )
        date = b'"%2d-Mar-2021 10:11:12 +0000" ' % self.source.randint(1, 28)
        command = b"APPEND %b %b %b{%d+}\r\n%b" % (self.name(), self.flags(), date, len(message), message)
        answers = await self.both(session, command)
        self.same_uids(*answers, command)

    def same_uids(self, first: Response, second: Response, command: bytes) -> None:
        """APPENDUID and COPYUID tell the same uids."""
        mine, theirs = (answer.code.split()[2:] for answer in (first, second))
        assert mine == theirs, self.story(f"{command!r}: {first.code} / {second.code}")

    async def store(self, session: Session) -> None:
        sign, silent = self.source.choice((b"+", b"-", b"")), self.source.choice((b"", b".SILENT"))
        item = b" %bFLAGS%b %b" % (sign, silent, self.flags())
        if silent:
            session.ours.flags.clear()
            session.theirs.flags.clear()
        uid = not session.agree or not session.uids or self.source.random() < 0.5
        if session.read_only:
            return  # Dovecot says OK and does nothing; ours says NO [READ-ONLY] (RFC 3501 section 6.3.2: no changes)
        if uid:
            await self.both(session, b"UID STORE " + self.some_uids(session) + item, code=False)
            return
        await self.numbered(session, b"STORE " + self.some_numbers(session) + item)

    async def numbered(self, session: Session, command: bytes) -> bool:
        """A command with sequence numbers: where a message is gone meanwhile, RFC 2180 section 4 leaves the answer
        to the server. Whether both did it."""
        self.history.append(f"{self.sessions.index(session)} {command[:100]!r}")
        first, second = await session.ours.run(command), await session.theirs.run(command)
        self.history.append(
            f"    ours {first.status} [{first.code}] / dovecot {second.status} [{second.code}] {second.text}"
        )
        assert first.status == second.status or "EXPUNGEISSUED" in (first.code, second.code), self.story(
            f"{command!r}: {first} / {second}"
        )
        return first.status == second.status == "OK"

    async def fetch(self, session: Session) -> None:
        items = self.source.choice(ITEMS)
        if session.agree and session.uids and self.source.random() < 0.5:
            compared = await self.numbered(session, b"FETCH " + self.some_numbers(session) + b" " + items)
        else:
            await self.both(session, b"UID FETCH " + self.some_uids(session) + b" " + items, code=False)
            compared = True
        if not compared or not session.agree:
            return
        mine, theirs = (self.by_uid(view) for view in (session.ours, session.theirs))
        for uid in mine.keys() & theirs.keys():
            for item in mine[uid].keys() & theirs[uid].keys():
                assert mine[uid][item] == theirs[uid][item], self.story(
                    f"FETCH {uid} {item!r}: {mine[uid][item]!r} / {theirs[uid][item]!r}"
                )

    @staticmethod
    def by_uid(view: View) -> dict[int, dict[bytes, object]]:
        found: dict[int, dict[bytes, object]] = {}
        for uid, values in view.shown:
            shown = found.setdefault(uid, {})
            for name, value in values.items():
                if name == b"FLAGS" and isinstance(value, list):
                    shown[name] = without_recent(value)
                elif name == b"INTERNALDATE" and isinstance(value, bytes):
                    shown[name] = value.replace(b" ", b"0", 1) if value[:1] == b" " else value
                elif name != b"MODSEQ":
                    shown[name] = value
        return found

    async def search(self, session: Session) -> None:
        key = self.source.choice(KEYS)
        told = self.source.random() < 0.7
        if told:
            await self.settle(session)
        await self.both(session, b"UID SEARCH " + key, code=False)
        found = []
        for view in (session.ours, session.theirs):
            known = set(view.uids)
            numbers = {int(word) for words in view.words(b"SEARCH") for word in words if isinstance(word, bytes)}
            found.append(numbers & known)
        # Flags that others changed are searched as they are, or as they were told.
        assert not told or found[0] == found[1], self.story(f"SEARCH {key!r}: {found}")

    async def expunge(self, session: Session) -> None:
        if session.read_only:
            return  # Dovecot: OK and nothing; ours: NO [READ-ONLY]
        # RFC 3501 section 6.4.3: all with \\Deleted go. Dovecot leaves those that this session was not told of.
        await self.settle(session)
        if self.source.random() < 0.5:
            await self.both(session, b"EXPUNGE", code=False)
        else:
            await self.both(session, b"UID EXPUNGE " + self.some_uids(session), code=False)

    async def copy(self, session: Session) -> None:
        verb, name = self.source.choice((b"COPY", b"MOVE")), self.name()
        if self.source.random() < 0.1 and self.kind != "mbox":
            name = b"nowhere"
        if self.kind == "mbox" or (verb == b"MOVE" and session.read_only):
            return  # within an mbox Dovecot dies of a MOVE, and gives a copy another uid than COPYUID told
        # Of messages that are gone meanwhile, RFC 2180 section 4.4 leaves the answer open; uids that are none are
        # passed over (RFC 3501 section 6.4.8), where Dovecot copies nothing.
        await self.settle(session)
        if session.uids and self.source.random() < 0.3:
            command = b"%b %b %b" % (verb, self.some_numbers(session), name)
        else:
            command = b"UID %b %b %b" % (verb, self.some_uids(session), name)
        first, second = await self.both(session, command, code=False)
        if first.status == "NO":
            assert second.code in (first.code, ""), self.story(f"{command!r}: {first} / {second}")
        codes = []
        for view, answer in ((session.ours, first), (session.theirs, second)):
            told = [response.code for response in view.told if response.code.startswith("COPYUID")]
            codes.append(([answer.code] if answer.code.startswith("COPYUID") else told)[:1])
        assert [code.split()[2:] for code in codes[0]] == [code.split()[2:] for code in codes[1]], self.story(
            f"{command!r}: {codes}"
        )

    async def select(self, session: Session) -> None:
        name = self.name()
        read_only = self.source.random() < 0.15
        for view in (session.ours, session.theirs):
            view.opened()
        condstore = b" (CONDSTORE)" if self.source.random() < 0.3 else b""
        first, _ = await self.both(session, (b"EXAMINE " if read_only else b"SELECT ") + name + condstore, code=False)
        session.selected, session.read_only, session.checkpoint = (
            (name if first.status == "OK" else b""),
            read_only,
            None,
        )
        session.condstore = session.condstore or bool(condstore)
        if session.selected:
            for word in (b"EXISTS",):
                told = [
                    [one.data[0] for one in view.told if one.data[1:] == (word,)]
                    for view in (session.ours, session.theirs)
                ]
                assert told[0] == told[1], self.story(f"SELECT: {told}")
            codes = [
                {one.code.partition(" ")[0]: one.code for one in view.told if one.code}
                for view in (session.ours, session.theirs)
            ]
            assert codes[0]["UIDNEXT"] == codes[1]["UIDNEXT"], self.story(f"SELECT: {codes}")
            assert codes[0].get("UNSEEN") == codes[1].get("UNSEEN"), self.story(f"SELECT: {codes}")
            await self.learn(session)

    async def close(self, session: Session) -> None:
        await self.settle(session)
        await self.both(session, self.source.choice((b"CLOSE", b"UNSELECT")))
        session.selected = b""
        for view in (session.ours, session.theirs):
            view.opened()

    async def folder(self, session: Session) -> None:
        if self.kind == "mbox":
            return
        name, other = self.source.choice(NAMES), self.source.choice(NAMES)
        used = {each.selected for each in self.sessions}
        match self.source.randint(0, 5):
            case 0 | 1:
                await self.parent(session, name)
                await self.both(session, b"CREATE " + name, code=False)
            case 2 if not any(each.strip(b'"').startswith(name.strip(b'"')) for each in used if each):
                await self.both(session, b"DELETE " + name)
            case 3 if not any(each.strip(b'"').startswith(name.strip(b'"')) for each in used if each):
                await self.parent(session, other)
                await self.both(session, b"RENAME %b %b" % (name, other))
            case 4:
                # What does not exist Dovecot does not subscribe to; RFC 3501 section 6.3.6 lets it.
                if (await self.both(session, b"STATUS %b (RECENT)" % name, code=False))[0].status == "OK":
                    await self.both(session, self.source.choice((b"SUBSCRIBE ", b"UNSUBSCRIBE ")) + name, code=False)
            case _:
                await self.list(session, self.source.choice((b'"" *', b'"" %', b'"a/" %', b'"" "%/%"', b'"" "c*"')))

    async def parent(self, session: Session, name: bytes) -> None:
        """RFC 3501 section 6.3.3 has parents made, as ours does; Dovecot only shows their names."""
        if b"/" in name:
            await self.both(session, b"CREATE " + name.partition(b"/")[0], code=False)

    async def list(self, session: Session, pattern: bytes) -> None:
        for verb in (b"LIST", b"LSUB"):
            await self.both(session, verb + b" " + pattern)
            mine, theirs = (self.listed(view, verb) for view in (session.ours, session.theirs))
            assert mine == theirs, self.story(f"{verb!r} {pattern!r}: {mine} / {theirs}")

    @staticmethod
    def listed(view: View, verb: bytes) -> dict[str, frozenset[bytes]]:
        found = {}
        for attributes, _separator, name in view.words(verb):  # type: ignore[misc]
            assert isinstance(name, bytes)
            if name.decode() in OURS_ALONE or (verb == b"LSUB" and name == b"INBOX"):
                continue  # ours is born subscribed to
            # Of a deleted mailbox with children Dovecot does not say \\Noselect (RFC 3501 section 6.3.4: it is).
            kept = set() if verb == b"LSUB" else {b"\\haschildren", b"\\hasnochildren"}
            if name == b"INBOX":
                kept = set()  # "\Noinferiors" of an mbox
            found[name.decode()] = without_recent(attributes) & kept  # type: ignore[arg-type]
        return found

    async def status(self, session: Session) -> None:
        name = self.name()
        if name == session.selected:
            return  # what Dovecot's session was told; RFC 3501 section 6.3.10 has it not asked
        answers = await self.both(session, b"STATUS %b (MESSAGES UIDNEXT UNSEEN)" % name, code=False)
        if answers[0].status != "OK":
            assert answers[0].code == answers[1].code or not answers[1].code, self.story(str(answers))
            return
        told = [[pairs(words[1]) for words in view.words(b"STATUS")] for view in (session.ours, session.theirs)]
        assert told[0] == told[1], self.story(f"STATUS {name!r}: {told}")

    async def check(self, session: Session) -> None:
        """Remember where both are."""
        await self.settle(session)
        marks = []
        for view in (session.ours, session.theirs):
            await view.run(b"STATUS %b (HIGHESTMODSEQ)" % session.selected)
            (words,) = view.words(b"STATUS")
            marks.append(int(pairs(words[1])[b"HIGHESTMODSEQ"]))  # type: ignore[arg-type]
        await self.settle(session)
        session.checkpoint = (marks[0], marks[1], frozenset(session.uids))

    async def conditional(self, session: Session) -> None:
        """What changed since the last check(), by FETCH CHANGEDSINCE, STORE UNCHANGEDSINCE or SELECT QRESYNC."""
        if session.checkpoint is None:
            await self.check(session)
            return
        mine, theirs, known = session.checkpoint
        await self.settle(session)
        match self.source.randint(0, 2):
            case 0:
                command = b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d" + (b" VANISHED)" if session.ours.qresync else b")")
                await self.both(session, command % mine, command % theirs, code=False)
            case 1 if not session.read_only and session.uids:
                item = b" +FLAGS (%b)" % self.source.choice(FLAGS)
                numbers = self.some_uids(session)
                command = b"UID STORE " + numbers + b" (UNCHANGEDSINCE %d)" + item
                answers = await self.both(session, command % mine, command % theirs)
                conflicts = [answer.code.partition("MODIFIED ")[2] for answer in answers]
                assert conflicts[0] == conflicts[1], self.story(f"MODIFIED: {conflicts}")
                return
            case _ if session.ours.qresync:
                commands = [
                    b"SELECT %b (QRESYNC (%d %d))" % (session.selected, view.uid_validity, mark)
                    for view, mark in ((session.ours, mine), (session.theirs, theirs))
                ]
                for view in (session.ours, session.theirs):
                    view.opened()
                await self.both(session, *commands, code=False)
                session.read_only = False
            case _:
                return
        # The client knows `known` and is told what went and what changed: both tell the same of it.
        gone = [view.earlier & known for view in (session.ours, session.theirs)]
        assert gone[0] == gone[1], self.story(f"VANISHED (EARLIER): {gone}")
        changed = [
            {uid: view.flags[uid] for uid, values in view.shown if b"FLAGS" in values and uid in view.flags}
            for view in (session.ours, session.theirs)
        ]
        assert changed[0] == changed[1], self.story(f"changed since {mine}/{theirs}: {changed}")
        await self.learn(session)

    async def compare_all(self) -> None:
        """Everything that is left."""
        session = await self.open()
        await self.list(session, b'"" *')
        await session.ours.run(b'LIST "" *')
        names = [
            words[2].decode()  # type: ignore[union-attr]
            for words in session.ours.words(b"LIST")
            if b"\\Noselect" not in words[0] and words[2].decode() not in OURS_ALONE  # type: ignore[operator,union-attr]
        ]
        for name in names:
            quoted = b'"%b"' % name.encode()
            for view in (session.ours, session.theirs):
                view.opened()
            await self.both(session, b"EXAMINE " + quoted, code=False)
            await self.both(session, b"UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])", code=False)
            mine, theirs = (
                {
                    int(values[b"UID"]): (  # type: ignore[arg-type]
                        without_recent(values[b"FLAGS"]),  # type: ignore[arg-type]
                        values[b"INTERNALDATE"].lstrip(b" 0") if self.kind != "mbox" else b"",
                        values[b"RFC822.SIZE"],
                        values[b"BODY[]"],
                    )
                    for _, values in view.shown
                }
                for view in (session.ours, session.theirs)
            )
            assert mine == theirs, self.story(f"{name}: {mine} / {theirs}")
        for view in (session.ours, session.theirs):
            await view.run(b"LOGOUT")


# Each part ends with a line end of its own: a last line without one is a line to ours and none to Dovecot.
MULTIPART = (
    b"preamble\r\n--cut\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nbrown %d\r\n\r\n"
    b"--cut\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: a@b\r\n\r\ninner text\r\n\r\n"
    b"--cut--\r\nepilogue\r\n"
)

STEP_KINDS = (
    *("append",) * 5,
    *("store",) * 5,
    *("fetch",) * 4,
    *("search",) * 3,
    *("expunge",) * 2,
    *("copy",) * 3,
    *("settle",) * 3,
    *("folder",) * 4,
    *("condstore",) * 3,
    "idle",
    "select",
    "select",
    "close",
    "status",
    "checkpoint",
)


@pytest.fixture
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ours]:
    made = Ours(request.getfixturevalue("kind"), tmp_path / "accounts")
    yield made
    await made.close()


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", ["native", "maildir", "mbox"])
async def test_three_sessions_end_where_dovecots_do(kind: str, seed: int, dovecot: PrivateDovecot, side: Ours) -> None:
    sides = Sides(kind, dovecot, side, f"{kind}{seed}", seed)
    for number in range(SESSIONS):
        sides.sessions.append(await sides.open(qresync=number == SESSIONS - 1))
    if kind != "mbox":
        for name in (b"a", b"a/b", b"c", b"&AOk-"):
            await sides.both(sides.sessions[0], b"CREATE " + name, code=False)
    for _ in range(STEPS):
        await sides.step()
    for session in sides.sessions:
        await sides.settle(session)
        for view in (session.ours, session.theirs):
            await view.run(b"LOGOUT")
    await sides.compare_all()
