"""Address fields as Postfix 3.7.11's cleanup writes them back: each row was a difference once, or could be one."""

import json
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.address.address_list import fold_list, format_list, parse_list
from posthouse.config.configuration import Configuration
from posthouse.intake.address_mapping import AddressMapping
from posthouse.intake.header_rewrite import HeaderRewrite
from posthouse.routing.rewrite import Rewriter

ROWS = json.loads((Path(__file__).parents[2] / "golden" / "differential" / "address-fields.json").read_text())
MAIN = {
    "compatibility_level": "3.6",
    "myhostname": "host.pair.test",
    "mydomain": "pair.test",
    "myorigin": "pair.test",
    "append_dot_mydomain": "yes",
}


class NoMaps:
    """Neither canonical maps nor masquerading."""

    def for_class(self, kind: str) -> list[object]:
        return []


@pytest.fixture
def fields() -> HeaderRewrite:
    return HeaderRewrite(Rewriter.open(Configuration("/nonexistent", MAIN)), cast("AddressMapping", NoMaps()))


@pytest.mark.parametrize(("field", "expected"), ROWS, ids=[repr(row[0])[:60] for row in ROWS])
async def test_a_field_is_rewritten_as_postfix_rewrites_it(fields: HeaderRewrite, field: str, expected: str) -> None:
    name, _, body = field.partition(":")
    found = await fields.field(name.lower().encode(), name, body, local=True, evidence=[], warnings=[])
    assert expected == (field if found is None else found)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("joe, ann, bob", "To: joe@pair.test, ann@pair.test"),
        ("joe@example.com, bob", None),
        ("joe@a.b.c", "To: joe@a.pair.test"),
    ],
)
async def test_a_field_that_changes_loses_what_is_beyond_the_limit(body: str, expected: str | None) -> None:
    rewriter = Rewriter.open(Configuration("/nonexistent", MAIN))
    fields = HeaderRewrite(rewriter, cast("AddressMapping", NoMaps()), 3 if expected else 5)
    found = await fields.field(b"to", "To", body, local=True, evidence=[], warnings=[])
    assert found == expected


@given(st.text('ab.@<>()"\\,:;!%|[] \t\u00e4\x01\udcff', max_size=30))
def test_any_text_is_a_list_and_stays_one(text: str) -> None:
    once = format_list(parse_list(text))
    assert fold_list("To", once).startswith("To: ")
