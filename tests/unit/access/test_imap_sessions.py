"""IMAP sessions beside each other, with the library of Python, and at their limits."""

import asyncio
import dataclasses
import imaplib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.access.imap import front
from posthouse.access.imap.dialogue import serve_handed_over
from posthouse.access.imap.front import ImapListener
from posthouse.access.imap.handover import Handover, parse_handover
from posthouse.access.imap.sections import choose_fields
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.settings import ImapdSettings
from posthouse.envelope.content import Content, MemoryBody
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.mailbox.maildir.store import maildir_store
from posthouse.mailbox.mbox.store import mbox_store
from posthouse.mailbox.native.backing import NativeBacking
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.store import MailboxFault, Refusal, Refused
from posthouse.net.connection import TcpStream
from posthouse.net.pair import stream_pair
from posthouse.net.tcp import connect, start_server
from posthouse.wire.imap.client import Response, ResponseReader, pairs
from posthouse.wire.imap.fetch import Section

TIMEOUT = 10.0


class Logins:
    async def authenticate(self, login: str, password: str) -> str | None:
        return login if password == "word" else None

    async def secret(self, login: str) -> str | None:
        return None


class Site:
    """A listener with its store, its log and its journal."""

    def __init__(self, folder: Path) -> None:
        self.store = NativeMailStore(folder, threads=2)
        self.sink = MemorySink()
        self.journal = MemoryJournal()
        self.slept: list[float] = []
        self.service = ImapService(
            ImapdSettings(imapd_tls_auth_only=False),
            self.store.open,
            ProcessLog(self.sink, "posthouse/imapd"),
            self.journal,
            login=Logins(),
            sleep=self.sleep,
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def deliver(self, body: bytes = b"body\r\n", header: bytes = b"Subject: s\r\n") -> None:
        await self.store.deliver("tony", Content(header, MemoryBody(body)))

    async def client(self, password: str = "word", **settings: object) -> "Client":
        service = self.service
        if settings:
            service.settings = dataclasses.replace(service.settings, **settings)  # type: ignore[arg-type]
        near, far = stream_pair()
        self.tasks.append(asyncio.create_task(ImapListener(service).on_stream(far)))
        client = Client(near)
        await client.response()
        if password:
            await client.run(f"LOGIN tony {password}")
        return client


class Client:
    def __init__(self, stream: TcpStream) -> None:
        self.stream = stream
        self.reader = ResponseReader()
        self.count = 0

    async def response(self) -> Response:
        while (response := self.reader.next_response()) is None:
            data = await self.stream.read(TIMEOUT)
            assert data, "the server closed the connection"
            self.reader.receive(data)
        return response

    def send(self, command: str) -> str:
        self.count += 1
        self.stream.write(f"t{self.count} {command}\r\n".encode())
        return f"t{self.count}"

    async def until(self, tag: str) -> tuple[list[Response], Response]:
        told = []
        while (response := await self.response()).tag != tag:
            told.append(response)
        return told, response

    async def run(self, command: str) -> list[Response]:
        told, done = await self.until(self.send(command))
        assert done.status == "OK", done
        return told

    async def refused(self, command: str) -> Response:
        _, done = await self.until(self.send(command))
        assert done.status != "OK"
        return done


def words(responses: list[Response]) -> list[str]:
    """Data responses as text, without their lists."""
    return [" ".join(word.decode() for word in one.data if isinstance(word, bytes)) for one in responses if one.data]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path / "accounts")
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    await made.store.close()


async def three(site: Site) -> tuple[Client, Client]:
    """Two clients with the same three messages selected."""
    for _ in range(3):
        await site.deliver()
    first, second = await site.client(), await site.client()
    await first.run("SELECT INBOX")
    await second.run("SELECT INBOX")
    return first, second


async def test_an_expunge_by_another_session_is_told_with_noop_but_not_with_fetch_store_or_search(site: Site) -> None:
    first, second = await three(site)
    await first.run("STORE 2 +FLAGS.SILENT (\\Deleted)")
    await first.run("EXPUNGE")
    assert "2 EXPUNGE" not in words(await second.run("FETCH 1 FLAGS"))
    assert "2 EXPUNGE" not in words(await second.run("STORE 1 +FLAGS (\\Seen)"))
    assert words(await second.run("SEARCH ALL")) == ["SEARCH 1 3"]
    assert (await second.refused("FETCH 2 FLAGS")).code == "EXPUNGEISSUED"
    assert words(await second.run("FETCH 3 UID")) == ["3 FETCH"], "sequence numbers have not moved"
    assert words(await second.run("NOOP")) == ["2 EXPUNGE"]
    assert words(await second.run("NOOP")) == []
    assert words(await second.run("FETCH 2 UID")) == ["2 FETCH"]


async def test_flags_and_new_messages_of_others_are_told_with_any_command(site: Site) -> None:
    first, second = await three(site)
    await first.run("STORE 3 +FLAGS.SILENT ($Forwarded \\Answered)")
    told = await second.run("SEARCH 1")
    assert words(told) == ["SEARCH 1", "FLAGS", "3 FETCH"]
    assert set(pairs(told[-1].data[2])[b"FLAGS"] or ()) == {b"$Forwarded", b"\\Answered"}  # type: ignore[arg-type]
    await site.deliver()
    assert words(await second.run("FETCH 1 UID")) == ["1 FETCH", "4 EXISTS", "1 RECENT"]
    assert words(await first.run("NOOP")) == ["4 EXISTS", "3 RECENT"], "\\Recent is told to one session only"


async def test_own_changes_are_told_once(site: Site) -> None:
    first, _second = await three(site)
    assert words(await first.run("STORE 1 +FLAGS (\\Seen)")) == ["1 FETCH"]
    assert words(await first.run("STORE 1 -FLAGS.SILENT (\\Seen)")) == []
    assert words(await first.run("FETCH 1 BODY[]")) == ["1 FETCH"]
    assert words(await first.run("NOOP")) == []


async def test_idle_tells_what_happens_and_ends_with_done(site: Site) -> None:
    first, second = await three(site)
    tag = second.send("IDLE")
    assert (await second.response()).tag == "+"
    await site.deliver()
    assert words([await second.response(), await second.response()]) == ["4 EXISTS", "1 RECENT"]
    await first.run("STORE 1 +FLAGS (\\Deleted)")
    assert words([await second.response()]) == ["1 FETCH"]
    await first.run("EXPUNGE")
    assert words([await second.response()]) == ["1 EXPUNGE"]
    second.stream.write(b"DONE\r\n")
    assert (await second.until(tag))[1].status == "OK"


async def test_a_client_that_leaves_in_idle_ends_its_session(site: Site) -> None:
    _first, second = await three(site)
    second.send("IDLE")
    await second.response()
    second.stream.close()
    await asyncio.wait_for(site.tasks[1], TIMEOUT)
    assert any("lost connection after IDLE" in line for line in site.sink.lines)


async def test_a_mailbox_deleted_by_another_session_ends_the_session_with_bye(site: Site) -> None:
    first = await site.client()
    await first.run("CREATE doomed")
    second = await site.client()
    await second.run("SELECT doomed")
    await first.run("DELETE doomed")
    second.send("NOOP")
    assert (await second.response()).status == "BYE"
    await asyncio.wait_for(site.tasks[1], TIMEOUT)


async def test_a_mailbox_the_session_itself_deletes_is_unselected(site: Site) -> None:
    client = await site.client()
    await client.run("CREATE doomed")
    await client.run("SELECT doomed")
    await client.run("DELETE doomed")
    assert (await client.refused("CHECK")).status == "BAD"
    await client.run("NOOP")


async def test_pipelined_commands_are_answered_in_order(site: Site) -> None:
    client, _ = await three(site)
    tags = [client.send(command) for command in ("FETCH 1 FLAGS", "UID SEARCH ALL", "NOOP", "FETCH 3 UID")]
    for tag in tags:
        assert (await client.until(tag))[1].status == "OK"


async def test_an_expunge_of_others_does_not_shift_what_stands_in_line(site: Site) -> None:
    first, second = await three(site)
    await first.run("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await first.run("EXPUNGE")
    tags = [second.send(command) for command in ("COPY 2 Archive", "FETCH 2 UID", "NOOP", "FETCH 2 UID")]
    told = [(await second.until(tag))[0] for tag in tags]
    assert words(told[0]) == []
    assert [pairs(told[place][0].data[2])[b"UID"] for place in (1, 3)] == [b"2", b"3"]
    assert words(told[2]) == ["1 EXPUNGE"]


async def test_a_large_message_streams_to_a_slow_client_and_back(site: Site) -> None:
    body = b"".join(b"%06d 0123456789012345678901234567890123456789\r\n" % number for number in range(60_000))
    client = await site.client()
    tag = client.send(f"APPEND INBOX {{{len(body) + 14}+}}")
    client.stream.write(b"Subject: big\r\n")
    for start in range(0, len(body), 500_000):
        client.stream.write(body[start : start + 500_000])
        await client.stream.drain(TIMEOUT)
    client.stream.write(b"\r\n")
    assert (await client.until(tag))[1].code.startswith("APPENDUID")
    await client.run("SELECT INBOX")
    told = await client.run("FETCH 1 (RFC822.SIZE BODY.PEEK[] BODY.PEEK[TEXT]<1000000.10>)")
    found = pairs(told[0].data[2])
    whole = found[b"BODY[]"]
    assert isinstance(whole, bytes) and whole == b"Subject: big\r\n" + body
    assert found[b"RFC822.SIZE"] == str(len(whole)).encode()


async def test_a_nul_is_never_sent_and_sizes_stay(site: Site) -> None:
    await site.deliver(b"a\0b\r\n")
    client = await site.client()
    await client.run("SELECT INBOX")
    told = await client.run("FETCH 1 (BODY.PEEK[TEXT] RFC822.SIZE)")
    assert pairs(told[0].data[2])[b"BODY[TEXT]"] == b"a\x80b\r\n"


async def test_structures_read_back_by_a_client(site: Site) -> None:
    deep = b"Content-Type: message/rfc822\r\n\r\n" * 90 + b"Subject: =?x?q?y?=\xff\r\n\r\nend"
    await site.deliver(deep, b'From: "a\\"b" <"x y"@d.example>, grp: c@d.example;\r\nContent-Type: message/rfc822\r\n')
    await site.deliver(b"no parts", b"Content-Type: multipart/mixed; boundary=x\r\n")
    client = await site.client()
    await client.run("SELECT INBOX")
    told = await client.run("FETCH 1:2 (ENVELOPE BODY BODYSTRUCTURE)")
    assert len([one for one in told if one.data[1:2] == (b"FETCH",)]) == 2
    second = pairs(told[1].data[2])[b"BODYSTRUCTURE"]
    assert isinstance(second, list) and second[:2] == [b"text", b"plain"]


async def test_refused_literals_are_never_read_as_commands(site: Site) -> None:
    client = await site.client(password="")
    filling = b"\r\nx LOGOUT\r\n" * 500
    client.stream.write(b"a LOGIN {%d+}\r\n" % len(filling) + filling + b"\r\n")
    assert (await client.response()).text == "Literal is too large."
    client.stream.write(b"b APPEND INBOX {%d+}\r\n" % len(filling) + filling + b"\r\n")
    assert (await client.response()).text == "Log in first."
    client.stream.write(b"c NOOP " + b"x" * 9000 + b" {%d+}\r\n" % len(filling) + filling + b"\r\n")
    refusal = await client.response()
    assert (refusal.tag, refusal.text) == ("c", "Command line is too long.")
    await client.run("NOOP")


async def test_an_endless_line_costs_little_memory(site: Site) -> None:
    client = await site.client(password="")
    for _ in range(100):
        client.stream.write(b"x" * 50_000)
        await asyncio.sleep(0)
    client.stream.write(b"\r\n")
    assert (await client.response()).status == "BAD"
    await client.run("NOOP")


async def test_wrong_passwords_cost_time_and_end_the_connection(site: Site) -> None:
    client = await site.client(password="")
    for _ in range(5):
        assert (await client.refused("LOGIN tony x")).code == "AUTHENTICATIONFAILED"
    assert (await client.response()).status == "BYE"
    assert site.slept == [2.0, 4.0, 8.0, 15.0, 15.0]
    assert [entry.step for entry in site.journal.entries] == ["refused"] * 5
    assert site.journal.entries[0].recipient == "tony"


async def test_a_login_is_in_the_journal(site: Site) -> None:
    await site.client()
    (entry,) = site.journal.entries
    assert (entry.step, entry.recipient, entry.verdict) == (
        "login",
        "tony",
        "permit: IMAP LOGIN from unknown[127.0.0.1]",
    )


async def test_one_address_has_a_limit_of_connections(site: Site) -> None:
    first = await site.client(imapd_client_connection_count_limit=1)
    near, far = stream_pair()
    await ImapListener(site.service).on_stream(far)
    second = Client(near)
    refusal = await second.response()
    assert (refusal.status, refusal.code) == ("BYE", "LIMIT")
    await first.run("LOGOUT")


async def test_silence_before_login_and_after_it_ends_the_session(site: Site) -> None:
    client = await site.client(imapd_timeout=0)
    assert (await client.response()).text == "Disconnected for inactivity."
    assert any(line.endswith("timeout after LOGIN from unknown[127.0.0.1]") for line in site.sink.lines)


async def test_who_does_not_log_in_is_cut_off_however_much_he_says(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "LOGIN_DEADLINE", 0.0)
    near, far = stream_pair()
    near.write(b"a NOOP\r\n" * 100_000)  # always something to read
    await ImapListener(site.service).on_stream(far)
    client = Client(near)
    said = [await client.response(), await client.response()]
    assert [response.status for response in said] == ["OK", "BYE"]
    assert any("timeout after CONNECT from" in line for line in site.sink.lines)


async def test_an_account_that_is_served_elsewhere_gets_the_hand_over_and_then_the_plain_dialogue(site: Site) -> None:
    lines: list[bytes] = []
    tasks = []

    async def elsewhere(login: str) -> TcpStream | None:
        near, far = stream_pair()

        async def child() -> None:
            data = await far.read(TIMEOUT)
            lines.append(data)
            far.unread(data)
            await serve_handed_over(dataclasses.replace(site.service, login=None), far)

        tasks.append(asyncio.create_task(child()))
        return near

    site.service.elsewhere = elsewhere
    client = await site.client(password="")
    client.stream.write(b"x LOGIN tony word\r\ny SELECT INBOX\r\n")
    assert (await client.until("x"))[1].code.startswith("CAPABILITY")
    assert (await client.until("y"))[1].code == "READ-WRITE"
    assert (await client.until(client.send("LOGOUT")))[1].status == "OK"
    await asyncio.wait_for(asyncio.gather(*tasks, *site.tasks), TIMEOUT)
    handover = parse_handover(lines[0].split(b"\r\n")[0])
    assert handover is not None and (handover.login, handover.tag, handover.verb) == ("tony", "x", "LOGIN")
    assert any("end of session" in line and "select=1 logout=1" in line for line in site.sink.lines)


async def test_a_child_that_cannot_open_the_account_says_no_and_bye(site: Site) -> None:
    async def open_account(login: str) -> Refused:
        return Refused(Refusal.IN_USE, "locked")

    service = dataclasses.replace(site.service, open_account=open_account, login=None)
    near, far = stream_pair()
    near.write(bytes(Handover("tony", "x", "LOGIN", "unknown", "127.0.0.1", 7)))
    await serve_handed_over(service, far)
    client = Client(near)
    assert (await client.response()).code == "INUSE"
    assert (await client.response()).status == "BYE"


async def test_where_modseqs_do_not_last_condstore_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NativeBacking, "has_modseq", False)
    await site.deliver()
    client = await site.client()
    told = await client.run("SELECT INBOX (CONDSTORE)")
    assert "NOMODSEQ" in [one.code for one in told]
    for command in ("FETCH 1 (MODSEQ)", "FETCH 1 FLAGS (CHANGEDSINCE 1)", "STORE 1 (UNCHANGEDSINCE 1) FLAGS ()",
                    "SEARCH MODSEQ 1"):  # fmt: skip
        assert (await client.refused(command)).status == "BAD"
    assert b"MODSEQ" not in pairs((await client.run("STORE 1 +FLAGS (\\Seen)"))[0].data[2])


async def test_a_client_that_comes_back_hears_what_happened_meanwhile(site: Site) -> None:
    for _ in range(5):
        await site.deliver()
    first, second = await site.client(), await site.client()
    await second.run("ENABLE QRESYNC")
    codes = [one.code.split() for one in await second.run("SELECT INBOX")]
    validity = next(code[1] for code in codes if code[:1] == ["UIDVALIDITY"])
    modseq = next(code[1] for code in codes if code[:1] == ["HIGHESTMODSEQ"])
    await second.run("UNSELECT")
    await first.run("SELECT INBOX")
    await first.run("STORE 2,4 +FLAGS.SILENT (\\Deleted)")
    await first.run("EXPUNGE")
    await first.run("STORE 1 +FLAGS (\\Seen)")
    told = await second.run(f"SELECT INBOX (QRESYNC ({validity} {modseq} 1:3))")
    assert [one.data for one in told if one.data[:1] == (b"VANISHED",)] == [(b"VANISHED", [b"EARLIER"], b"2")]
    assert [word for word in words(told) if "FETCH" in word] == ["1 FETCH"]
    told = await second.run(f"SELECT INBOX (QRESYNC (1 {modseq}))")
    assert "VANISHED" not in " ".join(words(told)), "another UIDVALIDITY: nothing the client knows is worth anything"


async def test_a_header_without_its_empty_line_gives_whole_fields(site: Site) -> None:
    client = await site.client()
    await client.until(client.send("APPEND INBOX {16+}\r\nSubject: no body"))
    await client.run("SELECT INBOX")
    told = await client.run("FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
    assert list(pairs(told[0].data[2]).values()) == [b"Subject: no body\r\n"]
    assert words(await client.run("SEARCH SUBJECT body")) == ["SEARCH 1"]


def test_fields_are_found_at_line_starts_only_and_in_linear_time() -> None:
    section = Section((), "HEADER.FIELDS", (b"subject",))
    header = b"X: 1\r\nno field Subject: a\r\nSubject : b\r\n c\r\n" + b"a" * 1_000_000 + b"\r\n\r\n"
    assert choose_fields(section, header) == b"Subject : b\r\n c\r\n\r\n"
    other = Section((), "HEADER.FIELDS.NOT", (b"subject",), partial=(1, 4))
    assert choose_fields(other, header) == b": 1\r"


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_spools_of_system_users_are_served_alike(site: Site, tmp_path: Path, kind: str) -> None:
    if kind == "maildir":
        store = maildir_store(lambda _account: tmp_path / "Maildir")
    else:
        store = mbox_store(lambda _account: (tmp_path / "spool", tmp_path / "index"))
    for number in range(3):
        await store.deliver("tony", Content(b"Subject: %d\r\n" % number, MemoryBody(b"From here\r\n")))
    site.service.open_account = store.open
    first, second = await site.client(), await site.client()
    await first.run("SELECT INBOX")
    await second.run("SELECT INBOX")
    told = await first.run("FETCH 1:* (UID BODY[TEXT])")
    assert [pairs(one.data[2])[b"BODY[TEXT]"] for one in told] == [b"From here\r\n"] * 3
    await first.run("STORE 2 +FLAGS (\\Deleted)")
    assert words(await first.run("EXPUNGE")) == ["2 EXPUNGE"]
    assert words(await second.run("NOOP"))[0] == "2 EXPUNGE"
    assert words(await second.run("SEARCH SUBJECT 2")) == ["SEARCH 2"]
    if kind == "mbox":
        for command in ("CREATE x", "COPY 1 x", "MOVE 1 x", "APPEND x {1+}\r\nx"):
            assert (await first.refused(command)).code == "CANNOT", "nobody is told to try what cannot be"
        assert words(await first.run('LIST "" *')) == ["LIST / INBOX"]
    else:
        await first.run("CREATE x/y")
        assert words(await first.run("COPY 1 x/y")) == []
    await first.run("LOGOUT")
    await second.run("LOGOUT")
    await asyncio.gather(*site.tasks)
    await store.close()


async def test_names_that_are_none_are_refused_and_are_no_invalid_commands(site: Site) -> None:
    client = await site.client(imapd_hard_error_limit=2)
    await client.run("SELECT INBOX")
    for command in ("CREATE", "DELETE", "SELECT", "SUBSCRIBE", "RENAME INBOX", "APPEND {name} {{3+}}\r\nabc"):
        filled = command.format(name='"&Jjo"') if "{" in command else f'{command} "&Jjo"'
        done = await client.refused(filled)
        assert (done.status, done.text) == ("NO", "Mailbox name is not valid modified UTF-7."), command


async def test_a_set_with_a_number_that_is_no_message_is_refused_whole(site: Site) -> None:
    first, _second = await three(site)
    for numbers in ("1:4", "4", "4:*", "*:4", "1,4"):
        assert (await first.refused(f"FETCH {numbers} UID")).status == "BAD", numbers
    assert words(await first.run("SEARCH 2:9")) == ["SEARCH 2 3"], (
        "SEARCH passes over what is not there, as Dovecot does"
    )
    assert words(await first.run("UID FETCH 2:9 UID")) == ["2 FETCH", "3 FETCH"]
    await first.run("CREATE empty")
    await first.run("SELECT empty")
    assert words(await first.run("FETCH 1:* UID")) == []


async def test_an_asterisk_reaches_to_messages_that_are_gone(site: Site) -> None:
    """RFC 7162 section 3.2.6: the client that asks for 1:* must hear of the last message, too."""
    first, second = await three(site)
    await second.run("ENABLE QRESYNC")
    told = await second.run("STATUS INBOX (HIGHESTMODSEQ)")
    modseq = int(pairs(told[-1].data[2])[b"HIGHESTMODSEQ"])  # type: ignore[arg-type]
    await first.run("STORE 2:3 +FLAGS.SILENT (\\Deleted)")
    await first.run("EXPUNGE")
    await second.run("NOOP")
    told = await second.run(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")
    assert told[0].data == (b"VANISHED", [b"EARLIER"], b"2:3")


@pytest.mark.parametrize("damage", ["gone", "short"])
async def test_a_message_that_cannot_be_read_keeps_no_other_from_being_read(
    site: Site, tmp_path: Path, damage: str
) -> None:
    await site.deliver(b"find me\r\n")
    await site.deliver(b"x" * 100_000 + b"\r\n", b"Content-Type: multipart/mixed; boundary=b\r\n")
    await site.deliver(b"find me\r\n")
    client = await site.client()
    await client.run("SELECT INBOX")
    (path,) = (tmp_path / "accounts").rglob("content/*")
    path.unlink() if damage == "gone" else path.write_bytes(b"short")
    for numbers in ("FETCH 1:*", "UID FETCH 1:*"):
        for items in ("BODY.PEEK[]", "(BODYSTRUCTURE)", "BODY.PEEK[TEXT]<10.5>"):
            site.sink.lines.clear()
            told, done = await client.until(client.send(f"{numbers} {items}"))
            assert (done.status, done.code) == ("NO", "UNAVAILABLE")
            assert words(told) == ["1 FETCH", "3 FETCH"]
            assert any("FETCH: INBOX uid 2: " in line and path.name in line for line in site.sink.lines)
    assert words(await client.run("SEARCH BODY find")) == ["SEARCH 1 3"]
    assert words(await client.run("FETCH 1:* FLAGS")) == ["1 FETCH", "2 FETCH", "3 FETCH"]


async def test_bytes_that_drip_do_not_hold_a_connection_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "LOGIN_DEADLINE", 0.0)
    client = await site.client(password="")
    assert (await client.response()).status == "BYE"


async def test_sessions_that_are_ended_by_the_server_say_bye(site: Site) -> None:
    client = await site.client()
    await client.run("SELECT INBOX")
    site.tasks[0].cancel()
    assert (await client.response()).status == "BYE"


@pytest.mark.parametrize("login", ["tony", "a b@c.example", "ü%\r\n", ""])
def test_a_hand_over_survives_its_line(login: str) -> None:
    handover = Handover(login, "a.1", "AUTHENTICATE", "host.example", "::1", 99)
    assert parse_handover(bytes(handover)) == handover
    assert bytes(handover).count(b"\r\n") == 1


@pytest.mark.parametrize("line", [b"", b"IMAP a b c d e x", b"POP3 a b c d e 1", b"\xff", b"IMAP a b c d e 1 2"])
def test_anything_else_is_no_hand_over(line: bytes) -> None:
    assert parse_handover(line) is None


def dialogue_of_the_library(port: int) -> list[object]:
    client = imaplib.IMAP4("127.0.0.1", port)
    seen: list[object] = [client.login("tony", "word")[0], list(client.select()[1])]
    content = b"Subject: one\r\n\r\nhello\r\n"
    seen.append(client.append("INBOX", "(\\Seen)", imaplib.Time2Internaldate(1_000_000_000), content)[0])
    seen.append(client.fetch("1", "(BODY.PEEK[])")[1][0])
    seen.append(client.uid("STORE", "1", "+FLAGS", "(\\Deleted)")[0])
    seen.append(client.search(None, "DELETED")[1])
    seen.append(client.copy("1", "Trash")[0])
    seen.append(client.expunge()[1])
    seen.append([client.create("new")[0], client.list('""', "new")[1], client.delete("new")[0]])
    seen.append(client.status("Trash", "(MESSAGES)")[1])
    seen.append([client.close()[0], client.logout()[0]])
    return seen


async def over_loopback(listener: ImapListener, dialogue: Callable[[int], Awaitable[object]]) -> object:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    serving = await start_server(sock, listener.on_stream)
    try:
        return await dialogue(sock.getsockname()[1])
    finally:
        serving.close()
        await serving.wait(TIMEOUT)
        sock.close()


async def test_the_library_of_python_gets_along(site: Site) -> None:
    async def dialogue(port: int) -> object:
        return await asyncio.to_thread(dialogue_of_the_library, port)

    assert await over_loopback(ImapListener(site.service), dialogue) == [
        "OK",
        [b"0"],
        "OK",
        (b"1 (BODY[] {23}", b"Subject: one\r\n\r\nhello\r\n"),
        "OK",
        [b"1"],
        "OK",
        [b"1"],
        ["OK", [b'(\\HasNoChildren) "/" new'], "OK"],
        [b"Trash (MESSAGES 1)"],
        ["OK", "BYE"],
    ]


async def test_a_large_message_goes_over_a_real_socket_behind_pipelined_commands(site: Site) -> None:
    body = b"x" * 76 + b"\r\n"
    await site.deliver(body * 20_000)
    taken = 0

    async def dialogue(port: int) -> object:
        nonlocal taken
        stream = await connect("127.0.0.1", port, timeout=TIMEOUT)
        stream.write(b"a LOGIN tony word\r\nb SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\nd LOGOUT\r\n")
        reader = ResponseReader()
        while True:
            data = await stream.read(TIMEOUT)
            if not data:
                return None
            taken += len(data)
            reader.receive(data)
            while (response := reader.next_response()) is not None:
                if response.tag == "d":
                    assert response.status == "OK"

    await over_loopback(ImapListener(site.service), dialogue)
    assert taken > 20_000 * len(body)


@pytest.mark.parametrize("plus", ["", "+"])
async def test_a_fault_of_the_store_is_told_behind_the_literal(
    site: Site, monkeypatch: pytest.MonkeyPatch, plus: str
) -> None:
    client = await site.client()

    async def damaged(*_: object) -> None:
        raise MailboxFault("database disk image is malformed")

    monkeypatch.setattr("posthouse.access.imap.verbs.append._refusal", damaged)
    literal = "hello\r\n" if plus else ""  # A synchronising literal is refused before it is sent.
    client.stream.write(f"a1 APPEND INBOX {{5{plus}}}\r\n{literal}a2 NOOP\r\n".encode())
    assert (await client.until("a1"))[1].status == "NO"
    assert (await client.until("a2"))[1].status == "OK"
