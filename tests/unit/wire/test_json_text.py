"""JSON without the json module: what both make of the same values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.json_text import compact_json, parse_json, spaced_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_texts_are_those_of_the_json_module_and_come_back(value: object) -> None:
    assert json.dumps(value, separators=(",", ":")) == compact_json(value)
    assert json.dumps(value, ensure_ascii=False) == spaced_json(value)
    assert value == parse_json(compact_json(value)) == parse_json(f"\r\n {spaced_json(value)}\t")


@given(st.text() | st.text(alphabet='{}[]",:1e.-+ntrfalsu \\'))
def test_any_text_is_a_value_or_refused_as_the_json_module_does(text: str) -> None:
    def strictly(name: str) -> None:
        raise ValueError(name)

    try:
        expected = json.loads(text, parse_constant=strictly)
    except ValueError:
        with pytest.raises(ValueError):
            parse_json(text)
    else:
        assert expected == parse_json(text)


def test_undecodable_bytes_travel_as_the_escapes_of_their_surrogates() -> None:
    text = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert compact_json(text) == '"caf\\udce9"'
    assert text == parse_json(compact_json(text))


def test_numbers_that_json_has_not_are_refused() -> None:
    for text in ("NaN", "-Infinity", "[Infinity]"):
        with pytest.raises(ValueError):
            parse_json(text)
    with pytest.raises(ValueError):
        compact_json(float("nan"))


def test_what_json_has_not_is_refused() -> None:
    with pytest.raises(TypeError):
        compact_json({"a": object()})
