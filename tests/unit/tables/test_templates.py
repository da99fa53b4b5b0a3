"""Templates, the parameters of database clients, and the keys they are asked for."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.configuration import Configuration
from posthouse.tables.client_keys import ClientKeys
from posthouse.tables.client_parameters import ClientParameters, read_client_parameters
from posthouse.tables.memory import open_inline
from posthouse.tables.sql import read_sql_settings
from posthouse.tables.table import Table, TableError, drive
from posthouse.tables.template import PLACES, Templates

Write = Callable[[str, str], str]


@pytest.mark.parametrize(
    ("template", "key", "query"),
    [
        ("[%s]", "joe@mail.example.com", "[joe@mail.example.com]"),
        ("[%u|%d|%U|%D|%S]", "joe@a.b", "[joe|a.b|joe|a.b|joe@a.b]"),
        ("%1 %2 %3", "joe@mail.example.com", "com example mail"),
        ("%u", "joe", "joe"),
        ("%u", "@a.b", None),
        ("%d", "joe", None),
        ("%d", "joe@", None),
        ("%s", "joe@", "joe@"),
        ("%2", "joe@b", None),
        ("%2", "joe@b..c", "b"),
        ("100%%", "joe", "100%"),
        ("", "joe", ""),
        ("%u@%d", "a@b@c.d", "a@b@c.d"),
    ],
)
def test_a_query_is_made_of_the_key_or_suppressed(template: str, key: str, query: str | None) -> None:
    assert Templates("mysql:x", "x", [template]).query(key, str) == query


@pytest.mark.parametrize(
    ("template", "value", "result"),
    [
        ("%s", "v", "v"),
        ("smtp:[%s]", "host", "smtp:[host]"),
        ("%u at %d", "u@v.w", "u at v.w"),
        ("%d", "unqualified", None),
        ("%u", "@v.w", None),
        ("%u", "v", "v"),
        ("%s %S %U %D %1", "v", "v joe@a.b joe a.b b"),
        ("%s", None, None),
    ],
)
def test_a_result_is_made_of_value_and_key_or_left_out(template: str, value: str | None, result: str | None) -> None:
    assert Templates("mysql:x", "x", ["%s"], template).result(value, "joe@a.b") == result


def test_what_the_result_needs_of_the_key_suppresses_the_query() -> None:
    assert Templates("mysql:x", "x", ["%s"], "%D").query("joe", str) is None


def test_empty_keys_and_values_are_said(warnings: list[str]) -> None:
    templates = Templates("mysql:x", "x", ["%s"])
    assert templates.query("", str) is None
    assert templates.result("", "k") is None
    assert warnings == [
        'table "mysql:x": empty query string -- ignored',
        'table "mysql:x": empty lookup result for: "k" -- ignored',
    ]


@pytest.mark.parametrize("text", ["%x", "%", "a%0", "% s"])
def test_an_unknown_place_is_refused(text: str) -> None:
    with pytest.raises(TableError) as caught:
        Templates("mysql:/f", "/f", [text])
    assert str(caught.value) == f"db_common_parse: /f: Invalid query template: {text}"


@given(st.lists(st.sampled_from(["%" + letter for letter in PLACES] + ["%%", "x", "'"])), st.text())
def test_quoting_reaches_every_piece_of_the_key(pieces: list[str], key: str) -> None:
    query = Templates("mysql:x", "x", ["".join(pieces)]).query(key or "k", lambda text: text.replace("'", "''"))
    if query is not None:
        fixed = sum(piece == "'" for piece in pieces)
        assert (query.count("'") - fixed) % 2 == 0


def test_parameters_of_a_file_are_taken_as_they_stand(file: Write) -> None:
    path = file("c.cf", "# comment\nquery = SELECT $x\n  FROM y\nhosts=a\nempty =\n")
    parameters = read_client_parameters(path, None)
    assert parameters.text("query") == "SELECT $x  FROM y"
    assert parameters.text("empty", "default") == ""
    assert parameters.text("absent", "default") == "default"


def test_parameters_in_main_cf_are_expanded() -> None:
    configuration = Configuration("/x", {"users_query": "SELECT $who", "who": "me", "users_bad": "x"})
    parameters = read_client_parameters("users", configuration)
    assert parameters.text("query") == "SELECT me"
    with pytest.raises(TableError, match=r"^bad string length 0 < 1: users_dbname = $"):
        parameters.text("dbname", minimum=1)
    with pytest.raises(TableError, match=r"^bad numerical configuration: users_bad = x$"):
        parameters.integer("bad", 0)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda p: p.text("absent", minimum=1), "/f: bad string length 0 < 1: absent = "),
        (lambda p: p.integer("word", 0), "/f: bad numerical configuration: word = x"),
        (lambda p: p.integer("big", 0), "/f: bad numerical configuration: big = 99999999999"),
        (lambda p: p.integer("zero", 0, 1), "/f: invalid zero parameter value 0 < 1"),
        (lambda p: p.boolean("word", False), "/f: bad boolean configuration: word = x"),
    ],
)
def test_bad_parameters_are_refused(read: Callable[[ClientParameters], object], text: str) -> None:
    with pytest.raises(TableError) as caught:
        read(ClientParameters("/f", {"word": "x", "big": "99999999999", "zero": "0"}))
    assert str(caught.value) == text


def test_a_file_that_is_not_there_or_broken_is_refused(file: Write) -> None:
    with pytest.raises(TableError, match=r"^open /nonexistent/c.cf: No such file or directory$"):
        read_client_parameters("/nonexistent/c.cf", None)
    path = file("c.cf", "nonsense\n")
    with pytest.raises(TableError, match=r'line 1: missing .=. after attribute name: "nonsense"$'):
        read_client_parameters(path, None)


def test_the_old_parameters_make_a_query() -> None:
    old = {"table": "t", "select_field": "f", "where_field": "w", "additional_conditions": "AND x"}
    assert read_sql_settings(ClientParameters("/f", old)).query == "SELECT f FROM t WHERE w='%s' AND x"
    with pytest.raises(TableError, match=r"^/f: bad string length 0 < 1: where_field = $"):
        read_sql_settings(ClientParameters("/f", {"table": "t", "select_field": "f"}))


def _open(spec: str) -> Table:
    return open_inline(spec, spec.partition(":")[2])


@pytest.mark.parametrize(
    ("domain", "key", "admitted"),
    [
        ("", "Joe@A.b", "joe@a.b"),
        ("", "", ""),
        ("x.y, a.b", "joe@A.B", "joe@a.b"),
        ("x.y, a.b", "joe@c.a.b", None),
        ("x.y, a.b", "@a.b", None),
        ("x.y, a.b", "a.b", None),
        ("!a.b, a.b", "joe@a.b", None),
        ("inline:{a.b=1}", "joe@a.b", "joe@a.b"),
        ("!inline:{a.b=1} c.d", "joe@c.d", "joe@c.d"),
        ("", "\udcff", None),
        ("", "a\0b", None),
    ],
)
def test_only_listed_domains_are_asked_for(warnings: list[str], domain: str, key: str, admitted: str | None) -> None:
    keys = ClientKeys(domain, _open, fold=True, unicode=True)
    assert drive(keys.admit(key)) == admitted


def test_a_domain_list_may_be_in_a_file(file: Write) -> None:
    path = file("domains", "# ours\na.b\nc.d\n")
    keys = ClientKeys(path, _open, fold=True, unicode=True)
    assert drive(keys.admit("x@c.d")) == "x@c.d"
    with pytest.raises(TableError, match=r"^open file /nonexistent/d: No such file"):
        ClientKeys("/nonexistent/d", _open, fold=True, unicode=True)
