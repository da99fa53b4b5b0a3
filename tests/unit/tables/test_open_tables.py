"""Every other type of table, and tables as services hold them."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.tables.build import Build
from posthouse.tables.keyed_file import open_keyed_file, write_keyed_file
from posthouse.tables.open import LivingTable, Opening, open_now
from posthouse.tables.source_text import Entry, entries
from posthouse.tables.table import Table, TableError, TableRetry, drive
from posthouse.tables.words import split_words, strip_braces

Write = Callable[[str, str], str]


def value(table: Table, key: str) -> str | None:
    row = drive(table.lookup(key))
    return None if row is None else row.value


@pytest.mark.parametrize(
    ("spec", "key", "expected"),
    [
        ("inline:{a=b}", "A", "b"),
        ("inline:{A=b, { k = v w }}", "k", "v w"),
        ("inline:{a=b,a=c}", "a", "c"),
        ("inline:{{a=b},c=d}", "c", "d"),
        ("inline:{a=b}", "c", None),
        ("static:x y", "q", "x y"),
        ("static:{ x y }", "q", "x y"),
        ("static:{/x}", "q", "/x"),
        ("pipemap:{inline:{a=b},inline:{b=z}}", "a", "z"),
        ("pipemap:{inline:{a=b},inline:{c=z}}", "a", None),
        ("unionmap:{static:a,static:b,inline:{a=b,c=d}}", "a", "a,b,b"),
        ("unionmap:{inline:{x=y}}", "a", None),
        ("randmap:{a}", "q", "a"),
        ("nis:x", "q", None),
        ("internal:x", "q", None),
        ("unix:passwd.byname", "DAEMON", "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin"),
        ("unix:group.byname", "daemon", "daemon:x:1:"),
        ("unix:passwd.byname", "nosuchuser", None),
        ("proxy:unix:group.byname", "daemon", "daemon:x:1:"),
    ],
)
def test_answers(warnings: list[str], spec: str, key: str, expected: str | None) -> None:
    assert value(open_now(spec, Opening()), key) == expected


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("inline:a", 'bad syntax: "inline:a"; need "inline:{name=value...}"'),
        ("inline:{}", 'bad syntax: "inline:{}"; need "inline:{name=value...}"'),
        ("inline:{a}", 'missing \'=\' after attribute name: "inline:{a}"; need "inline:{name=value...}"'),
        ("inline:{ a = b }", 'missing \'=\' after attribute name: "inline:{ a = b }"; need "inline:{name=value...}"'),
        ("inline:{a=b}x", 'bad syntax: "inline:{a=b}x"; need "inline:{name=value...}"'),
        ("static:{ x y }z", "bad static:name syntax: syntax error after '}' in \"{ x y }z\""),
        ("static:", 'open dictionary: expecting "type:name" form instead of "static:"'),
        ("randmap:{}", 'bad syntax: "randmap:{}"; need "randmap:{value...}"'),
        ("pipemap:{}", 'bad syntax: "pipemap:{}"; need "pipemap:{type:name...}"'),
        ("pipemap:static:x", 'bad syntax: "pipemap:static:x"; need "pipemap:{type:name...}"'),
        ("unix:x", "unknown table: unix:x"),
        ("socketmap:x", "socketmap requires server:socketmap argument"),
        ("nosuch:x", "unsupported dictionary type: nosuch"),
        ("mongodb:x", "unsupported dictionary type: mongodb. This version of Posthouse does not have it"),
        ("hash:/nonexistent/f", "open database /nonexistent/f.db: No such file or directory"),
        ("lmdb:/nonexistent/f", "open database /nonexistent/f.lmdb: No such file or directory"),
        ("cdb:/nonexistent/f", "open database /nonexistent/f.cdb: No such file or directory"),
        ("texthash:/nonexistent/f", "open database /nonexistent/f: No such file or directory"),
    ],
)
def test_refusals(spec: str, text: str) -> None:
    with pytest.raises(TableError) as caught:
        open_now(spec, Opening())
    assert str(caught.value) == text


def test_fail_cannot_be_asked() -> None:
    with pytest.raises(TableRetry):
        drive(open_now("fail:x", Opening()).lookup("a"))


def test_environ_needs_the_exact_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOUSE_TEST", "x")
    assert value(open_now("environ:x", Opening()), "POSTHOUSE_TEST") is None
    assert value(open_now("environ:x", Opening(fold=False)), "POSTHOUSE_TEST") == "x"


TEXT = ' lead x\n# c\nFoo Bar\nfoo dup\n"a b" quoted\nnovalue\n x y\n'
TEXT += 'q "u\n\nSTRASSE s\nstraße t\nk: v\nnone\nz 1\\\n  # no\n\t2\n'


def test_texthash(file: Write, warnings: list[str]) -> None:
    path = file("v", TEXT)
    table = open_now(f"texthash:{path}", Opening())
    assert [value(table, key) for key in ("FOO", '"a b"', "a b", "novalue", "straße", "k:", "z")] == [
        "Bar",
        "quoted",
        None,
        "x y",
        "s",
        "v",
        "1\\\t2",
    ]
    assert warnings == [
        f'{path}: logical line must not start with whitespace: " lead x"',
        f'{path}, line 4: duplicate entry: "foo"',
        f'{path}, line 11: duplicate entry: "straße"',
        f'{path}, line 12: record is in "key: value" format; is this an alias file?',
        f"{path}, line 13: expected format: key whitespace value -- ignoring this line",
    ]


@given(st.text(max_size=100))
def test_any_source_text_gives_rows_or_warnings(text: str) -> None:
    said: list[str] = []
    for entry in entries(text.split("\n"), "f", said.append):
        assert entry.key
        assert entry.value


@pytest.mark.parametrize("kind", ["hash", "btree", "lmdb", "cdb"])
def test_keyed_files(tmp_path: Path, warnings: list[str], kind: str) -> None:
    path = str(tmp_path / "t")
    build = Build(kind, path)
    for line, (key, text) in enumerate([("A", "1"), ("b b", "2"), ("a", "3"), ("é", "4"), ("x" * 300, "5" * 3000)], 1):
        build.add(Entry(key, text, line))
    build.write(0o640)
    assert os.stat(build.file).st_mode & 0o777 == 0o640
    table = open_keyed_file(f"{kind}:{path}", kind, path)
    assert [value(table, key) for key in ("a", "B B", "É", "X" * 300, "none", "y" * 600, "")] == [
        "1",
        "2",
        "4",
        "5" * 3000,
        None,
        None,
        None,
    ]
    assert sorted(dict(table.items())) == sorted(["a", "b b", "é", "x" * 300])
    table.close()
    where = {"lmdb": f"lmdb:{path}", "cdb": path}.get(kind, build.file)
    expected = f'{where}: duplicate entry: "a"'
    assert warnings == [expected]
    again = Build(kind, path, replace=True)
    again.load()
    again.add(Entry("a", "9", 1))
    assert again.remove("b b")
    assert not again.remove("c")
    again.write(None)
    assert os.stat(build.file).st_mode & 0o777 == 0o640
    assert dict(open_keyed_file(f"{kind}:{path}", kind, path).items())["a"] == "9"
    assert os.listdir(tmp_path) == [os.path.basename(build.file)]


def test_files_without_nul_are_read_too(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    write_keyed_file("hash", path + ".db", {b"a": b"1"}, nul=False)
    assert value(open_now(f"hash:{path}", Opening()), "a") == "1"


def test_a_hash_file_may_hold_lmdb(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    write_keyed_file("lmdb", path + ".db", {b"a": b"1"}, nul=True)
    assert value(open_now(f"hash:{path}", Opening()), "a") == "1"


def test_another_kind_of_file_is_refused(file: Write) -> None:
    path = file("t.db", "nonsense")
    with pytest.raises(TableError, match="not a database of type hash"):
        open_now(f"hash:{path[:-3]}", Opening())


def test_a_database_older_than_its_source_is_told(file: Write, warnings: list[str], tmp_path: Path) -> None:
    path = file("t", "a 1\n")
    write_keyed_file("hash", path + ".db", {b"a": b"1"}, nul=True)
    os.utime(path + ".db", (1_600_000_000, 1_600_000_000))
    open_now(f"hash:{path}", Opening())
    assert warnings == [f"database {path}.db is older than source file {path}"]


def test_a_service_waits_for_a_table_and_reads_a_changed_one_anew(
    file: Write, warnings: list[str], tmp_path: Path
) -> None:
    now = [0.0]
    path = str(tmp_path / "t")
    table = LivingTable(f"texthash:{path}", Opening(), lambda: now[0])
    unavailable = f"texthash:{path} is unavailable. open database {path}: No such file or directory"
    assert warnings == [unavailable]
    with pytest.raises(TableRetry):
        drive(table.lookup("a"))
    assert warnings == [unavailable] * 2
    file("t", "a 1\n")
    with pytest.raises(TableRetry):
        drive(table.lookup("a"))
    now[0] = 1.0
    assert value(table, "a") == "1"
    file("t", "a 2\n")
    assert value(table, "a") == "1"
    now[0] = 2.0
    assert value(table, "a") == "2"
    os.unlink(path)
    now[0] = 3.0
    assert value(table, "a") == "2"
    assert warnings == [unavailable] * 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a, b\tc\n d,,", ["a", "b", "c", "d"]),
        ("inline:{a=b, c=d}, hash:x", ["inline:{a=b, c=d}", "hash:x"]),
        ("{ a }{ b } c", ["{ a }{ b }", "c"]),
        ("{ a", ["{ a"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "inside"), [("{ a }", "a"), ("{a{b}}", "a{b}"), ("a", None), ("{a}b", None), ("{a", None), ("{}", "")]
)
def test_braces(text: str, inside: str | None) -> None:
    assert strip_braces(text) == inside


async def serve(answers: dict[bytes, bytes], asked: list[bytes], *, netstring: bool) -> asyncio.Server:
    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                if netstring:
                    size = int((await reader.readuntil(b":"))[:-1])
                    question = (await reader.readexactly(size + 1))[:-1]
                else:
                    question = (await reader.readuntil(b"\n"))[:-1]
                asked.append(question)
                writer.write(answers[question])
        except asyncio.IncompleteReadError:
            writer.close()

    return await asyncio.start_server(on_client, "127.0.0.1", 0)


async def test_tcp_tables(warnings: list[str]) -> None:
    asked: list[bytes] = []
    answers = {
        b"get joe": b"200 two%20words\n",
        b"get a%20b%25": b"200 pct%25\n",
        b"get no": b"500 not%20here\n",
        b"get soft": b"400 later\n",
        b"get odd": b"999 what\n",
    }
    async with await serve(answers, asked, netstring=False) as server:
        port = server.sockets[0].getsockname()[1]
        table = open_now(f"tcp:127.0.0.1:{port}", Opening())
        found = [await table.lookup(key) for key in ("joe", "a b%", "no")]
        assert [row and row.value for row in found] == ["two words", "pct%", None]
        for key in ("soft", "odd"):
            with pytest.raises(TableRetry, match="query error"):
                await table.lookup(key)
        assert asked == list(answers)
        table.close()
    assert warnings == [f"read TCP map reply from 127.0.0.1:{port}: bad status code: 999 what"]


async def test_socketmap_tables(warnings: list[str]) -> None:
    asked: list[bytes] = []
    answers = {
        b"m joe": b"8:OK value,",
        b"m no": b"9:NOTFOUND ,",
        b"m t": b"8:TEMP try,",
        b"m p": b"6:PERM x,",
        b"m odd": b"3:HUH,",
        b"m bad": b"x3:HUH,",
    }
    async with await serve(answers, asked, netstring=True) as server:
        port = server.sockets[0].getsockname()[1]
        table = open_now(f"socketmap:inet:127.0.0.1:{port}:m", Opening())
        row = await table.lookup("joe")
        assert row is not None
        assert row.value == "value"
        assert await table.lookup("no") is None
        for key in ("t", "p", "odd", "bad"):
            with pytest.raises(TableRetry):
                await table.lookup(key)
        table.close()
    assert len(warnings) == 5


async def test_a_server_that_is_not_there_means_try_later(warnings: list[str]) -> None:
    server = await serve({}, [], netstring=False)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(TableRetry):
        await open_now(f"tcp:127.0.0.1:{port}", Opening()).lookup("a")
