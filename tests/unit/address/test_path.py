import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.address.path import parse_path, take_path

# (as written, lenient, strict)
PATHS = [
    ("<a@b.example>", "a@b.example", "a@b.example"),
    ("<>", "", ""),
    ('<"a b"@c.example>', "a b@c.example", "a b@c.example"),
    ("a@b", "a@b", None),
    ("Foo <a@b>", "a@b", None),
    ("<@x,@y:a@b>", "a@b", "a@b"),
    ("<a@[192.0.2.1]>", "a@[192.0.2.1]", "a@[192.0.2.1]"),
    ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
    ("<(c)a@b>", "a@b", None),
    ("<üñ@é.example>", "üñ@é.example", "üñ@é.example"),
    ("<a%b@c>", "a%b@c", "a%b@c"),
    ("<a b@c>", None, None),
    ("<a", None, None),
    ("a>", None, None),
    ("<a@b> x", None, None),
    ("<a,b@c>", None, None),
    ("<a@b:c>", None, None),
    ("<a@>", None, None),
    ("<a@-b.c>", None, None),
    ("<a@192.0.2.1>", None, None),
    ("<a@b..c>", None, None),
    ("<a@b.c.>", "a@b.c.", "a@b.c."),
    ("<a..b@c>", "a..b@c", "a..b@c"),
    ("<a\\ b@c>", "a b@c", "a b@c"),
]


@pytest.mark.parametrize(("text", "lenient", "strict"), PATHS)
def test_paths(text: str, lenient: str | None, strict: str | None) -> None:
    assert parse_path(text) == lenient
    assert parse_path(text, strict=True) == strict


def test_the_path_ends_at_its_bracket_whatever_is_quoted() -> None:
    assert take_path("<a@b> SIZE=3 BODY=8BITMIME") == ("<a@b>", "SIZE=3 BODY=8BITMIME")
    assert take_path(' <"> x"@c> SIZE=3') == ('<"> x"@c>', "SIZE=3")
    assert take_path("a@b SIZE=1") == ("a@b", "SIZE=1")
    assert take_path("") == ("", "")


@given(st.text(max_size=60))
def test_any_text_is_a_path_or_none(text: str) -> None:
    path, rest = take_path(text)
    assert len(path) + len(rest) <= len(text)
    for strict in (False, True):
        found = parse_path(text, strict=strict)
        assert found is None or isinstance(found, str)


@given(st.text('<>"\\@,:.()[] ab', max_size=3000))
def test_hostile_paths_end(text: str) -> None:
    take_path(text)
    parse_path(text)
