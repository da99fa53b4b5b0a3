"""regexp, pcre and cidr: rules, substitutions, and the very warnings of Postfix 3.7."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.tables.open import Opening, open_now
from posthouse.tables.pattern_rules import parse_rules
from posthouse.tables.regexp import DIALECT
from posthouse.tables.replacement import BadReplacement, parse_replacement
from posthouse.tables.table import TableError, TableRetry, drive

Write = Callable[[str, str], str]

RULES = r"""# comment
/^case@$/i                 toggled
/^user@example\.com$/      LOCAL
/^(.*)@old\.example\.com$/  $1@new.example.com
/^([a-z]+)-([0-9]+)@x$/    ${2}-$(1)-${1}x
!/@/                      not-an-address
if /^in/
if !/out/
/x(y)?z/ between <$1>
endif
/./ inner
endif
/dollar/                  cost $$5
|pipe\|bar|               piped
/two
 words/                   joined
"""

ANSWERS = [
    ("user@example.com", "LOCAL"),
    ("USER@EXAMPLE.COM", "LOCAL"),
    ("joe@old.example.com", "joe@new.example.com"),
    ("abc-12@x", "12-abc-abcx"),
    ("noat", "not-an-address"),
    ("case@", "toggled"),
    ("CASE@", None),
    ("in@xyz", "between <y>"),
    ("in@xz", "between <>"),
    ("in@out-xyz", "inner"),
    ("dollar@", "cost $5"),
    ("@pipe|bar", "piped"),
    ("@two words", "joined"),
    ("zip@zip", None),
]


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
@pytest.mark.parametrize(("key", "value"), ANSWERS)
def test_answers(file: Write, warnings: list[str], kind: str, key: str, value: str | None) -> None:
    table = open_now(f"{kind}:{file('r', RULES)}", Opening())
    row = drive(table.lookup(key))
    assert (None if row is None else row.value) == value
    assert warnings == []
    assert table.whole_key


BAD = r"""if /^a/
/b/ ab
endif
foo bar
/unclosed
/a(/ x
/b/Q x
/(d)/ $2
/noresult/
/ok/ fine
endif
if !/^z/
!/q/ $1
/(x)/ $1x
/(x)/ ${1
/(x)/ $
/(x)/ ${a}
/(x)/ $0 zero
if /(y)/ trailing
if
endif junk
if /zz/
"""

COMMON = [
    "line 4: ignoring unrecognized request",
    'line 5: no closing regexp delimiter "/": {unclosed} this rule',
    "line 6: {compiler}",
    'line 7: unknown regexp option "Q": skipping this rule',
    'line 8: out of range replacement index "2": skipping this rule',
    "line 9: no replacement text: using empty string",
    "line 11: ignoring ENDIF without matching IF",
    "line 13: $number found in negative match replacement text: skipping this rule",
    'line 14: non-numeric replacement index "1x"',
    "line 14: bad replacement syntax: skipping this rule",
    'truncated macro reference: "${1"',
    "line 15: bad replacement syntax: skipping this rule",
    'empty macro name: "$"',
    "line 16: bad replacement syntax: skipping this rule",
    'line 17: non-numeric replacement index "a"',
    "line 17: bad replacement syntax: skipping this rule",
    'line 18: {beyond} replacement index "0"',
    "line 18: bad replacement syntax: skipping this rule",
    'line 19: ignoring extra text after IF statement: "trailing"',
    "line 19: do not prepend whitespace to statements between IF and ENDIF",
    "line 20: no regexp: skipping this rule",
    "line 21: ignoring extra text after ENDIF",
    "line 22: IF has no matching ENDIF",
    "line 12: IF has no matching ENDIF",
]


@pytest.mark.parametrize(
    ("kind", "unclosed", "compiler"),
    [
        ("regexp", "skipping", "Unmatched ( or \\("),
        ("pcre", "ignoring", "error in regex at offset 2: missing closing parenthesis"),
    ],
)
def test_warnings(file: Write, warnings: list[str], kind: str, unclosed: str, compiler: str) -> None:
    path = file("r", BAD)
    open_now(f"{kind}:{path}", Opening())
    beyond = "out of range" if kind == "pcre" else "out-of-range"
    expected = [
        text.replace("{unclosed}", unclosed).replace("{compiler}", compiler).replace("{beyond}", beyond)
        for text in COMMON
    ]
    shown = [text if not text.startswith("line") else f"{kind} map {path}, {text}" for text in expected]
    assert warnings == shown


def test_the_longest_leftmost_match_wins(file: Write) -> None:
    table = open_now(f"regexp:{file('r', '/(a|ab)/ $1')}", Opening())
    row = drive(table.lookup("xabc"))
    assert row is not None
    assert row.value == "ab"


def test_a_row_names_pattern_and_line(file: Write) -> None:
    path = file("r", "# x\n/a/i one\n")
    row = drive(open_now(f"regexp:{path}", Opening()).lookup("a"))
    assert row is not None
    assert (row.key, row.line, row.table) == ("/a/i", 2, f"regexp:{path}")


def test_pcre_reads_octets_as_postfix_does(file: Write, warnings: list[str]) -> None:
    table = open_now(f"pcre:{file('r', '/^gr..n$/ green')}", Opening())
    assert drive(table.lookup("grün")) is not None
    assert drive(table.lookup("gr\udcfcn")) is None
    assert warnings == [f'{table.name}: non-UTF-8 key "gr\udcfcn": malformed UTF-8 or invalid codepoint']
    table = open_now(f"pcre:{file('r', '/^gr(.)/ $1')}", Opening())
    with pytest.raises(TableRetry):
        drive(table.lookup("grün"))


def test_a_pattern_that_explodes_does_not_match(file: Write, warnings: list[str]) -> None:
    table = open_now(f"pcre:{file('r', '/^(a+)+$/ x')}", Opening())
    assert drive(table.lookup("a" * 40 + "b")) is None
    assert "match limit exceeded" in warnings[0]


@given(st.text(max_size=80))
def test_any_text_is_rules_or_warnings(text: str) -> None:
    parse_rules(text.split("\n"), "f", DIALECT)


@given(st.text(alphabet="$(){}1ax ", max_size=30))
def test_any_replacement_is_one_or_is_refused(text: str) -> None:
    try:
        replacement = parse_replacement(text)
    except BadReplacement:
        return
    assert replacement.expand(lambda _: "") is not None


CIDR = """192.168.1.1/16 bad
1.2.3.4 OK
!1.2.3.4 NOT
10.0.0.0/8
if 10.0.0.0/8
10.1.0.0/16  ten-one
endif
2001:db8::/32 v6
[2001:db9::1] v6b
300.1.1.1 x
1.2.3.0/33 x
endif
foo
1.2.3.4
if
1.2.3.0/ x
1.2.3.0/a x
/8 x
::/0 all6
"""


def test_cidr(file: Write, warnings: list[str]) -> None:
    path = file("c", CIDR)
    table = open_now(f"cidr:{path}", Opening())
    found = {}
    for key in ("1.2.3.4", "10.1.2.3", "2001:db8::1", "2001:db9::1", "::1", "foo", "[1.2.3.4]", "01.2.3.4"):
        row = drive(table.lookup(key))
        found[key] = None if row is None else row.value
    assert found == {
        "1.2.3.4": "OK",
        "10.1.2.3": "NOT",
        "2001:db8::1": "v6",
        "2001:db9::1": "v6b",
        "::1": "all6",
        "foo": None,
        "[1.2.3.4]": None,
        "01.2.3.4": None,
    }
    assert warnings == [
        f"cidr map {path}, line {text}: skipping this rule"
        for text in (
            '1: non-null host address bits in "192.168.1.1/16", perhaps you should use "192.168.0.0/16" instead',
            "4: no lookup result",
            '10: bad address pattern: "300.1.1.1"',
            '11: bad mask length in "1.2.3.0/33"',
            "12: ENDIF without IF",
            '13: bad address pattern: "foo"',
            "14: no lookup result",
            "15: no address pattern",
            '16: bad mask value in "1.2.3.0/"',
            '17: bad mask value in "1.2.3.0/a"',
            '18: bad network value in "/8"',
        )
    ]


@pytest.mark.parametrize("kind", ["regexp", "pcre", "cidr"])
def test_a_missing_file_is_named(kind: str) -> None:
    with pytest.raises(TableError, match=r"^open /nonexistent/f: No such file or directory$"):
        open_now(f"{kind}:/nonexistent/f", Opening())


@pytest.mark.parametrize(
    ("spec", "key", "found"),
    [
        ("regexp:{{/^Subject: q/ REJECT}}", "Subject: q", "REJECT"),
        ("regexp:{ {/x/ OK}, {if /a/}, {/c/ d}, {endif} }", "ac", "d"),
        ("pcre:{{/a{2}(.)/ ${1}}}", "aac", "c"),
        ("cidr:{{1.2.3.0/24 x}, {0.0.0.0/0 y}}", "9.9.9.9", "y"),
        ("regexp:{}", "a", None),
    ],
)
def test_rules_may_stand_in_main_cf(spec: str, key: str, found: str | None) -> None:
    row = drive(open_now(spec, Opening()).lookup(key))
    assert (None if row is None else row.value) == found


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("regexp:{{/a/ b}", "regexp map: missing '}' in \"{{/a/ b}\""),
        ("pcre:{/a/ b}", "pcre map: no '{' at start of text in \"/a/\""),
    ],
)
def test_bad_rules_in_main_cf_are_told(spec: str, text: str) -> None:
    with pytest.raises(TableError) as raised:
        open_now(spec, Opening())
    assert str(raised.value) == text


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
def test_what_a_delivery_trusts_takes_nothing_from_the_address(kind: str, warnings: list[str]) -> None:
    """A recipient that chose part of a path or of a command line could choose too much."""
    spec = f"{kind}:{{{{/^(a.*)/ |echo $1}}, {{/^b/ plain $$}}}}"
    table = open_now(spec, Opening(substitution=False))
    assert drive(table.lookup("a;id")) is None
    row = drive(table.lookup("b"))
    assert row is not None
    assert row.value == "plain $"
    assert [text.rpartition(": regular")[2] for text in warnings] == [
        " expression substitution is not allowed: skipping this rule"
    ]
