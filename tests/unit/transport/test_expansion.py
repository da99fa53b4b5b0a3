"""The right-hand side of aliases and .forward files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.transport.local.expansion import Item, Kind, parse_expansion, parse_lines


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("tony", [Item(Kind.ADDRESS, "tony")]),
        ("tony, alice@x.test", [Item(Kind.ADDRESS, "tony"), Item(Kind.ADDRESS, "alice@x.test")]),
        ('"|cat > /tmp/a, b"', [Item(Kind.COMMAND, "cat > /tmp/a, b")]),
        ("|/usr/bin/procmail", [Item(Kind.COMMAND, "/usr/bin/procmail")]),
        ("/var/log/mail.archive", [Item(Kind.FILE, "/var/log/mail.archive")]),
        (":include:/etc/list", [Item(Kind.INCLUDE, "/etc/list")]),
        ("\\tony, bob@x.test", [Item(Kind.MAILBOX, "tony"), Item(Kind.ADDRESS, "bob@x.test")]),
        ('"a b"@x.test', [Item(Kind.ADDRESS, "a b@x.test")]),
        ('"tony", Al <al@x.test> (his)', [Item(Kind.ADDRESS, "tony"), Item(Kind.ADDRESS, "al@x.test")]),
        ("tony al@x.test", [Item(Kind.ADDRESS, "tony"), Item(Kind.ADDRESS, "al@x.test")]),
        ("|/bin/cat -n", [Item(Kind.COMMAND, "/bin/cat"), Item(Kind.ADDRESS, "-n")]),
        ('"|a 1" "|b"', [Item(Kind.COMMAND, "a 1"), Item(Kind.COMMAND, "b")]),
        ('|"a 1"', [Item(Kind.COMMAND, "a 1")]),
        (" , ,", []),
    ],
)
def test_expansion_items(text: str, items: list[Item]) -> None:
    assert items == parse_expansion(text)


def test_lines_skip_comments_and_split_at_line_ends() -> None:
    assert [Item(Kind.ADDRESS, "a@x"), Item(Kind.ADDRESS, "b@x")] == parse_lines("# who\n\na@x\n  b@x\n")


@given(st.text())
def test_any_text_gives_items(text: str) -> None:
    for item in parse_lines(text):
        assert item.kind in Kind
