"""memcache: tables against a small server that does as it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from posthouse.tables.client_parameters import ClientParameters
from posthouse.tables.memcache import MemcacheTable, read_memcache_settings
from posthouse.tables.memory import open_inline
from posthouse.tables.open import Opening, open_now
from posthouse.tables.table import TableError, TableRetry


class Fake:
    """Answers each command with the next of its replies; b"" closes the connection, None says nothing."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.replies: list[bytes | None] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while line := await reader.readline():
            if line.startswith(b"set "):
                line += await reader.readline()
            self.asked.append(line)
            reply = self.replies.pop(0) if self.replies else b"END\r\n"
            if reply == b"":
                break
            if reply is not None:
                writer.write(reply)
        writer.close()


@pytest.fixture
async def fake() -> AsyncIterator[tuple[Fake, Callable[..., MemcacheTable]]]:
    fake = Fake()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tables: list[MemcacheTable] = []

    def table(replies: Sequence[bytes | None], **more: str) -> MemcacheTable:
        fake.replies = list(replies)
        values = {"memcache": f"inet:127.0.0.1:{port}", "retry_pause": "0", **more}
        settings = read_memcache_settings(ClientParameters("/m", values))
        made = MemcacheTable("memcache:/m", settings, lambda spec: open_inline(spec, spec.partition(":")[2]))
        tables.append(made)
        return made

    yield fake, table
    for one in tables:
        one.close()
    server.close()


Given = tuple[Fake, Callable[..., MemcacheTable]]


async def test_found_and_not_found(fake: Given, warnings: list[str]) -> None:
    server, table = fake
    asked = table([b"VALUE k 0 5\r\nv\r\nwx\r\nEND\r\n", b"END\r\n"], key_format="p:%s")
    row = await asked.lookup("K")
    assert row is not None and row.value == "v\r\nwx"
    assert await asked.lookup("l") is None
    assert server.asked == [b"get p:k\r\n", b"get p:l\r\n"]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("reply", "warning"),
    [
        (b"", "database memcache:/m: I/O error"),
        (b"ERROR\r\n", "/m: unexpected memcache server reply: ERROR"),
        (b"VALUE k 0 99999\r\n", "/m: unexpected memcache server reply: VALUE k 0 99999"),
        (b"VALUE k 0 2\r\nabcd\r\nEND\r\n", "/m: unexpected memcache server reply: cd"),
        (b"x" * 5000 + b"\r\n", "database memcache:/m: I/O error"),
    ],
)
async def test_nonsense_is_tried_again_and_then_a_failure(
    fake: Given, warnings: list[str], reply: bytes, warning: str
) -> None:
    server, table = fake
    with pytest.raises(TableRetry):
        await table([reply, reply]).lookup("k")
    assert warnings == [warning]
    assert server.connections == 2


async def test_one_failure_is_passed_over_in_silence(fake: Given, warnings: list[str]) -> None:
    _, table = fake
    row = await table([b"", b"VALUE k 0 1\r\nv\r\nEND\r\n"]).lookup("k")
    assert row is not None and row.value == "v"
    assert warnings == []


async def test_a_server_that_says_nothing_is_a_failure(fake: Given, warnings: list[str]) -> None:
    _, table = fake
    with pytest.raises(TableRetry):
        await table([None, None], timeout="0").lookup("k")
    assert warnings[-1].startswith(("connect to", "database memcache:/m: I/O error"))


async def test_nobody_there_is_tried_once(warnings: list[str]) -> None:
    settings = read_memcache_settings(ClientParameters("/m", {"memcache": "inet:127.0.0.1:1"}))
    table = MemcacheTable("memcache:/m", settings, lambda spec: open_inline(spec, "{a=b}"))
    with pytest.raises(TableRetry):
        await table.lookup("k")
    assert warnings == ["connect to 127.0.0.1:1: Connection refused"]


async def test_the_backup_answers_and_what_it_says_is_stored(fake: Given) -> None:
    server, table = fake
    asked = table([b"END\r\n", b"STORED\r\n"], backup="inline:{k=v}", ttl="60", flags="3")
    row = await asked.lookup("k")
    assert row is not None and row.value == "v"
    assert server.asked == [b"get k\r\n", b"set k 3 60 1\r\nv\r\n"]


async def test_with_a_backup_a_broken_server_is_no_failure(fake: Given, warnings: list[str]) -> None:
    _, table = fake
    asked = table([b"", b"", b"", b""], backup="inline:{k=v}")
    row = await asked.lookup("k")
    assert row is not None and row.value == "v"
    assert await asked.lookup("other") is None


@pytest.mark.parametrize("key", ["", "a b", "a\tb", "x" * 300])
async def test_keys_that_cannot_be_sent_are_not_found(fake: Given, key: str) -> None:
    server, table = fake
    assert await table([]).lookup(key) is None
    assert server.asked == []


async def test_rows_are_deleted(fake: Given) -> None:
    _, table = fake
    asked = table([b"DELETED\r\n", b"NOT_FOUND\r\n"])
    assert [await asked.delete("k"), await asked.delete("k")] == [True, False]


def test_listing_needs_a_backup(warnings: list[str]) -> None:
    settings = read_memcache_settings(ClientParameters("/m", {}))
    table = MemcacheTable("memcache:/m", settings, lambda spec: open_inline(spec, "{a=b}"))
    assert list(table.items()) == []
    assert warnings == ["database memcache:/m: first/next support requires backup database"]


def test_commands_and_paths_do_not_come_from_memcached() -> None:
    with pytest.raises(TableError, match=r"^memcache:/m map is not allowed for security-sensitive data$"):
        open_now("memcache:/m", Opening(substitution=False))
