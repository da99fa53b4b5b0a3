"""mysql:, pgsql:, sqlite: and ldap: tables without their servers."""

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.tables import mysql, openldap, pgsql
from posthouse.tables.client_parameters import ClientParameters
from posthouse.tables.ldap import quote_filter, quote_name
from posthouse.tables.ldap_search import pertinent, subtype
from posthouse.tables.ldap_settings import read_ldap_settings
from posthouse.tables.mysql_options import read_mysql_options
from posthouse.tables.open import LivingTable, Opening, open_now
from posthouse.tables.servers import Host
from posthouse.tables.table import Table, TableError, TableRetry
from posthouse.tables.waiting import wait

Write = Callable[[str, str], str]


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("unix:/s", Host("unix:/s", "/s", 0, True)),
        ("inet:db.example:3307", Host("inet:db.example:3307", "db.example", 3307)),
        ("db.example", Host("db.example", "db.example", 3306)),
        ("[::1]:3307", Host("[::1]:3307", "::1", 3307)),
        ("::1", Host("::1", "::1", 3306)),
        ("localhost", Host("localhost", "/run/mysqld/mysqld.sock", 0, True)),
        ("inet:localhost:3306", Host("inet:localhost:3306", "/run/mysqld/mysqld.sock", 0, True)),
    ],
)
def test_mysql_hosts(text: str, host: Host) -> None:
    assert mysql.parse_host(text, {}) == host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("postgresql://u@h:1/d", Host("postgresql://u@h:1/d", "postgresql://u@h:1/d")),
        ("unix:/run/pg", Host("unix:/run/pg", "/run/pg", 0, True)),
        ("inet:db:5433", Host("inet:db:5433", "db", 5433)),
        ("db", Host("db", "db")),
    ],
)
def test_pgsql_hosts(text: str, host: Host) -> None:
    assert pgsql.parse_host(text) == host


@pytest.mark.parametrize("parse", [lambda text: mysql.parse_host(text, {}), pgsql.parse_host])
def test_a_bad_port_is_refused(parse: Callable[[str], Host]) -> None:
    with pytest.raises(TableError, match=r'^bad port number in "db:x"$'):
        parse("db:x")


def test_mysql_keys_are_escaped_as_the_server_wants() -> None:
    assert mysql.escape("o'h\\\n\"", 0) == "o\\'h\\\\\\n\\\""
    assert mysql.escape("o'h\\", mysql.NO_BACKSLASH_ESCAPES) == "o''h\\"


@given(st.text())
def test_no_key_ends_a_mysql_string(key: str) -> None:
    escaped = mysql.escape(key, 0)
    position = 0
    while position < len(escaped):
        assert escaped[position] != "'"
        position += 2 if escaped[position] == "\\" else 1
    assert position == len(escaped)
    assert mysql.escape(key, mysql.NO_BACKSLASH_ESCAPES).replace("''", "").count("'") == 0


def test_option_files(file: Write, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x.cnf").write_text("[mail]\nport=3308\n")
    (tmp_path / "d" / "ignored").write_text("[client]\nport=1\n")
    path = file(
        "my.cnf",
        f"[mysqld]\nuser=server\n[client]\nuser = 'reader'\npassword=\"p #w\"\nssl\n# x\n"
        f"[mail]\nsocket=/s # there\n!includedir {tmp_path}/d\n",
    )
    assert read_mysql_options(path, "client") == {"user": "reader", "password": "p #w", "ssl": "1"}
    assert read_mysql_options(path, "mail") == {
        "user": "reader", "password": "p #w", "ssl": "1", "socket": "/s", "port": "3308"
    }  # fmt: skip
    assert read_mysql_options("", "") == {}
    with pytest.raises(TableError, match=r"^open option file /nonexistent: No such file"):
        read_mysql_options("/nonexistent", "client")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("mysql", "", "bad string length 0 < 1: dbname = "),
        ("mysql", "dbname=d\n", "bad string length 0 < 1: table = "),
        ("mysql", "dbname=d\nquery=x\ntls_verify_cert=maybe\n", "bad boolean configuration: tls_verify_cert = maybe"),
        ("pgsql", "", "bad string length 0 < 1: dbname = "),
        ("sqlite", "query=x\n", "bad string length 0 < 1: dbpath = "),
        ("ldap", "bind=maybe\n", "unsupported parameter value: bind = maybe"),
        ("ldap", "bind=sasl\n", "bind = sasl: this version of Posthouse has simple binds only"),
        ("memcache", "ttl=x\n", "bad numerical configuration: ttl = x"),
    ],
)  # fmt: skip
def test_bad_configurations_are_refused(file: Write, kind: str, text: str, message: str) -> None:
    path = file("c.cf", text)
    with pytest.raises(TableError) as caught:
        open_now(f"{kind}:{path}", Opening())
    assert str(caught.value) == f"{path}: {message}"


def test_a_table_whose_file_is_missing_is_unavailable_in_a_service(warnings: list[str]) -> None:
    table = LivingTable("proxy:mysql:/nonexistent.cf", Opening())
    with pytest.raises(TableRetry):
        asyncio.run(table.lookup("k"))
    assert set(warnings) == {
        "proxy:mysql:/nonexistent.cf is unavailable. open /nonexistent.cf: No such file or directory"
    }


def test_bad_tls_files_are_refused(file: Write) -> None:
    path = file("c.cf", "dbname=d\nquery=x\ntls_CAfile=/nonexistent\n")
    with pytest.raises(TableError, match=r"TLS: \[Errno 2\]"):
        open_now(f"mysql:{path}", Opening())


def test_mysql_verifies_as_far_as_it_is_told(file: Write, tmp_path: Path) -> None:
    from posthouse.testkit.certificate import write_certificate

    write_certificate(tmp_path, "localhost", "127.0.0.1")
    path = file("c.cf", f"dbname=d\nquery=x\noption_group=\ntls_CAfile={tmp_path}/cert.pem\n")
    table = open_now(f"mysql:{path}", Opening())
    context = table._ssl  # type: ignore[attr-defined]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)
    path = file("c.cf", f"dbname=d\nquery=x\noption_group=\ntls_CAfile={tmp_path}/cert.pem\ntls_verify_cert=yes\n")
    context = open_now(f"mysql:{path}", Opening())._ssl  # type: ignore[attr-defined]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = str(tmp_path / "s.db")
    connection = apsw.Connection(path)
    connection.execute(
        "CREATE TABLE t (k, v); INSERT INTO t VALUES ('a', 'x'), ('a', 2.5), ('n', NULL), ('b', x'41004200'),"
        " ('f', 1e20), ('g', 3.0), ('o''h', 'q'), ('e', '')"
    )
    connection.close()
    return path


def sqlite(file: Write, database: str, query: str = "SELECT v FROM t WHERE k='%s'", more: str = "") -> Table:
    path = file("c.cf", f"dbpath={database}\nquery={query}\n{more}")
    return open_now(f"sqlite:{path}", Opening())


def value(table: Table, key: str) -> str | None:
    row = wait(table.lookup(key))
    return None if row is None else row.value


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("A", "x,2.5"),
        ("n", None),
        ("b", "A"),
        ("f", "1.0e+20"),
        ("g", "3.0"),
        ("o'h", "q"),
        ("none", None),
        ("e", None),
    ],
)
def test_sqlite_rows(file: Write, warnings: list[str], database: str, key: str, expected: str | None) -> None:
    assert value(sqlite(file, database), key) == expected


def test_sqlite_takes_the_first_column_of_the_first_statement(file: Write, database: str) -> None:
    assert value(sqlite(file, database, "SELECT ';', v FROM t WHERE k='%s'; SELECT 'no'"), "a") == ";,;"


def test_sqlite_files_are_read_only(file: Write, warnings: list[str], database: str) -> None:
    with pytest.raises(TableRetry):
        value(sqlite(file, database, "DELETE FROM t"), "a")
    assert "readonly database" in warnings[0]


def test_sqlite_follows_a_file_that_was_replaced(file: Write, database: str, tmp_path: Path) -> None:
    table = sqlite(file, database)
    assert value(table, "g") == "3.0"
    other = str(tmp_path / "new.db")
    connection = apsw.Connection(other)
    connection.execute("CREATE TABLE t (k, v); INSERT INTO t VALUES ('g', 'new')")
    connection.close()
    os.rename(other, database)
    assert value(table, "g") == "new"
    table.close()


def test_sqlite_limits_the_number_of_values(file: Write, warnings: list[str], database: str) -> None:
    table = sqlite(file, database, more="expansion_limit=1\n")
    with pytest.raises(TableRetry):
        value(table, "a")
    assert warnings[0].endswith("Expansion limit exceeded for key: 'a'")
    assert value(table, "g") == "3.0"


def test_sqlite_broken_queries_are_failures(file: Write, warnings: list[str], database: str) -> None:
    with pytest.raises(TableRetry):
        value(sqlite(file, database, "SELECT nosuch FROM t"), "a")
    assert warnings[0].endswith("SQL prepare failed: no such column: nosuch")


async def test_sqlite_lookups_at_once(file: Write, database: str) -> None:
    table = sqlite(file, database)
    rows = await asyncio.gather(*(table.lookup("a") for _ in range(50)))
    assert {row.value for row in rows if row is not None} == {"x,2.5"}
    table.close()


def test_what_asks_a_server_is_not_waited_for_under_a_running_loop(file: Write, database: str) -> None:
    async def inside() -> None:
        with pytest.raises(TableRetry):
            value(sqlite(file, database), "a")

    asyncio.run(inside())


def test_ldap_keys_are_quoted() -> None:
    assert quote_filter("a*(b)\\") == "a\\2A\\28b\\29\\5C"
    assert quote_name(' a,b="c"+d;<e>#') == "\\20a\\2Cb=\\22c\\22\\2Bd\\3B\\3Ce\\3E\\23"


@given(st.text())
def test_no_key_ends_an_ldap_filter(key: str) -> None:
    assert not set("*()") & set(quote_filter(key))


def test_attribute_options_decide_which_attribute_is_asked_for() -> None:
    assert [subtype("Mail", "mail"), subtype("mail", "mail;lang-de"), subtype("mail;x", "mail"), subtype("a", "b")] == [
        *(1, 1, -1, 0)
    ]
    assert pertinent(["mail", "cn;lang-de", "x"], ["mail;x", "cn"]) == ("mail;x", "cn;lang-de")


@pytest.mark.skipif(not openldap.available(), reason="OpenLDAP's library is not installed")
def test_ldap_servers_become_urls(warnings: list[str]) -> None:
    values = {"server_host": "a b:1 ldaps://c", "server_port": "390", "version": "2", "start_tls": "no"}
    settings = read_ldap_settings(ClientParameters("/l", values))
    assert settings.urls == "ldap://a:390 ldap://b:1 ldaps://c"
    assert settings.options.version == 3
    assert settings.options.tls == ()
    assert warnings == ["dict_ldap_open: URL scheme ldaps requires protocol version 3"]
    assert read_ldap_settings(ClientParameters("/l", {})).options.tls is None


@pytest.mark.skipif(not openldap.available(), reason="OpenLDAP's library is not installed")
def test_an_ldap_server_that_is_not_there_is_a_failure(file: Write, warnings: list[str]) -> None:
    path = file("l.cf", "server_host=127.0.0.1:1\nsearch_base=dc=x\ntimeout=2\n")
    with pytest.raises(TableRetry):
        value(open_now(f"ldap:{path}", Opening()), "k")
    assert warnings == [
        "dict_ldap_connect: Unable to bind to server ldap://127.0.0.1:1 with dn empty or implicit:"
        " -1 (Can't contact LDAP server)"
    ]


async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("kind", "start"), [("mysql", "connect to mysql server "), ("pgsql", "connect to pgsql server ")]
)
async def test_a_server_that_hangs_up_is_a_failure(file: Write, warnings: list[str], kind: str, start: str) -> None:
    pytest.importorskip({"mysql": "asyncmy", "pgsql": "psycopg"}[kind])
    server = await asyncio.start_server(_closing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = file("c.cf", f"hosts=127.0.0.1:{port}\ndbname=d\nuser=u\nquery=SELECT '%s'\noption_group=\n")
    table = open_now(f"{kind}:{path}", Opening())
    with pytest.raises(TableRetry):
        await table.lookup("k")
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{start}127.0.0.1:{port}: ")
    with pytest.raises(TableRetry):
        await table.lookup("k")
    assert len(warnings) == 1  # left alone for a while
    server.close()
    table.close()
