import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.address.address import fold, join_address, split_address
from posthouse.address.local_part import delimiter_of, quote_address, split_extension, unquote_address


def test_the_domain_starts_after_the_last_at() -> None:
    assert split_address("a@b@c.example") == ("a@b", "c.example")
    assert split_address("alone") == ("alone", "")
    assert join_address("a", "") == "a"


@pytest.mark.parametrize(
    ("local_part", "delimiters", "parts"),
    [
        ("joe+x", "+", ("joe", "x")),
        ("joe-x+y", "+-", ("joe", "x+y")),
        ("joe", "+", ("joe", "")),
        ("+joe", "+", ("+joe", "")),
        ("joe+x", "", ("joe+x", "")),
        ("mailer-daemon", "-", ("mailer-daemon", "")),
        ("owner-list", "-", ("owner-list", "")),
        ("list-request", "-", ("list-request", "")),
    ],
)
def test_the_extension_starts_at_the_first_delimiter(local_part: str, delimiters: str, parts: tuple[str, str]) -> None:
    assert split_extension(local_part, delimiters) == parts


def test_the_delimiter_used_is_told() -> None:
    assert delimiter_of("joe-x+y", "+-") == "-"
    assert delimiter_of("joe", "+-") == ""


@pytest.mark.parametrize(
    ("internal", "external"),
    [
        ("", ""),
        ("joe@x.example", "joe@x.example"),
        ("a b@x", '"a b"@x'),
        ('q"\\@x', '"q\\"\\\\"@x'),
        (".dot@x", '".dot"@x'),
        ("two..dots@x", '"two..dots"@x'),
        ("@x", '""@x'),
        ("ünï@x", "ünï@x"),
        ("a@b@c", '"a@b"@c'),
    ],
)
def test_quotes_stand_only_where_they_must(internal: str, external: str) -> None:
    assert quote_address(internal) == external
    assert unquote_address(external) == internal


@given(st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]), min_size=1))
def test_quoting_can_be_undone(local_part: str) -> None:
    assert unquote_address(quote_address(f"{local_part}@x.example")) == f"{local_part}@x.example"


def test_case_folding_is_unicode_folding() -> None:
    assert fold("STRASSE") == fold("Straße")
