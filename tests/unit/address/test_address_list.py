import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.address.address_list import (
    Listed,
    Node,
    Rewritten,
    addresses,
    fold_list,
    format_list,
    is_complete,
    parse_list,
)


def rewritten(text: str) -> str:
    """Every bare name gets @example.com, as append_at_myorigin does."""
    nodes: list[Node] = []
    for node in parse_list(text):
        if isinstance(node, Listed):
            nodes.append(Rewritten(node.local_part, "example.com" if node.domain is None else node.domain))
        else:
            nodes.append(node)
    return fold_list("To", format_list(nodes)).removeprefix("To: ")


# What Postfix 3.7.11's cleanup makes of these fields.
FORMS = [
    ("joe (Joe Full)", "joe@example.com (Joe Full)"),
    ("John Smith <jsmith>", "John Smith <jsmith@example.com>"),
    ("John Smith jsmith@x.example", "John@example.com, Smith@example.com, jsmith@x.example"),
    ("Joe Full <joe> (comment here)", "Joe Full <joe@example.com>(comment here)"),
    ('"quoted \\"x\\" name" <joe>', '"quoted \\"x\\" name" <joe@example.com>'),
    ("a;b", "a@example.com;, b@example.com"),
    ("a:b", '"a:b"@example.com'),
    ("foo:bar:baz;, bob", "foo:bar: baz@example.com;, bob@example.com"),
    ("G:;, bob", "G: ;, bob@example.com"),
    ("G:<x>;, G: a <x>;", "G: <x@example.com>;, G: a <x@example.com>;"),
    (",,bob,,", ", , bob@example.com, , "),
    ('"J. Doe"<j>, Doe<k>', '"J. Doe" <j@example.com>, Doe <k@example.com>'),
    ("<bob> <tom>", "<bob@example.com> <tom@example.com>"),
    ("a . b", "a.b@example.com"),
    ('"a"."b"', "a.b@example.com"),
    ("bob(c)@x.example, tom", "bob@x.example (c), tom@example.com"),
    ("a\\@b", '"a@b"@example.com'),
    ("<@r1,@r2:u@v.example>, x", "<u@v.example>, x@example.com"),
    ("tom, (open", "tom@example.com, (open"),
    ('tom, "open', "tom@example.com, open@example.com"),
    ("tom, J. R. Doe <x@y.z>", "tom@example.com, J.R.Doe <x@y.z>"),
    ("Mail Delivery (foo) System <x>", "Mail Delivery (foo) System <x@example.com>"),
    ('G: "x" <j>', 'G@example.com:"x" <j@example.com>'),
    ("a; <j>", "a@example.com; <j@example.com>"),
    ("undisclosed-recipients:;", "undisclosed-recipients: ;"),
]


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_lists_are_written_back_in_the_form_of_postfix(text: str, expected: str) -> None:
    assert rewritten(text) == expected


def test_long_lists_fold_after_a_comma() -> None:
    text = ", ".join(f"very.long.address.number.{n}" for n in ("one", "two", "three"))
    assert rewritten(text).split("\r\n\t") == [
        "very.long.address.number.one@example.com,",
        "very.long.address.number.two@example.com,",
        "very.long.address.number.three@example.com",
    ]


def test_addresses_of_a_list() -> None:
    assert addresses('A <a@b>, "c d"@e, G: x;, <>') == ["a@b", "c d@e", "x"]


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("joe@example.com", True),
        ('"D, J" <d@e.f>\r\n\t, x@y.z', True),
        ("Joe <joe@example.com>, bob", False),
        ("joe@host", False),
        ("a%b@example.com", False),
        ("joe@a.b.", False),
        ("", False),
    ],
)
def test_only_plain_full_addresses_are_complete(text: str, complete: bool) -> None:
    assert is_complete(text) == complete


@given(st.text('<>"\\@,:;.()[] \t\r\nab', max_size=200))
def test_any_text_can_be_parsed_and_written(text: str) -> None:
    format_list(parse_list(text))
    if is_complete(text):
        for node in parse_list(text):
            assert not isinstance(node, Listed) or (node.domain or "").count(".") >= 1


@pytest.mark.parametrize("piece", ["a ", "a@b.c,", '"', "(", "<", "a.", "\r\n ", "[", "\\", ":;"])
def test_parsing_is_linear(piece: str) -> None:
    def cost(count: int) -> float:
        text = piece * count
        start = time.process_time()
        is_complete(text)
        format_list(parse_list(text))
        return time.process_time() - start

    assert cost(20_000) < 2.0
