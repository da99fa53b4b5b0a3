import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.expand import MacroError, compare, expand, references
from posthouse.config.words import split_words

VALUES = {"set": "1", "empty": "", "a": "$b", "b": "$a", "nested": "<$set>"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a$set.b", "a1.b"),
        ("$(set)", "1"),
        ("${ set }", "1"),
        ("$$set", "$set"),
        ("$nested", "<1>"),
        ("$unknown", ""),
        ("${set?yes}${set:no}", "yes"),
        ("${empty?yes}${empty:no}", "no"),
        ("${set?{a}:{b}}", "a"),
        ("${empty?{a}:{b}}", "b"),
        ("${set?{a}:b}", "a"),
        ("${set?a:b}", "a:b"),
        ("${set? { a b } : {c}}", " a b "),
        ("${set?{${set}}:{b}}", "1"),
        ("${set?}", ""),
        ("${{1} == {1} ? {a} : {b}}", "a"),
        ("${{1}=={1}}", "true"),
        ("${{1}=={2}}", ""),
        ("${{10} < {9} ? {y} : {n}}", "n"),
        ("${{abc} < {abd} ? {y} : {n}}", "y"),
        ("${{$set} != {1} ? {y} : {n}}", "n"),
        ("${{3.10} >level {3.9} ? {y} : {n}}", "y"),
        ("${{3.6} <level {3.6} ? {y} : {n}}", "n"),
    ],
)
def test_expansion(text: str, result: str) -> None:
    assert result == expand(text, VALUES.get)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("${set", 'truncated macro reference: "${set"'),
        ("a$ b", 'empty macro name: "a$ b"'),
        ("${set.x}", 'attribute name syntax error at: "...set>>>.x"'),
        ("${set?{a}x}", '":" expected at: "...a}>>>x"'),
        ("${set?{a}:{b}x}", 'unexpected input at: "...b}>>>x"'),
        ("${{1}=={1}x{a}}", '"?" or ":" expected at: "...}>>>x{a}"'),
        ("${{1}==1?{y}:{n}}", 'bad operator suffix at: "...==>>>1"'),
        ("${{1}== x}", '"{expression}" expected at: "...{1} ==>>> x"'),
        (
            "${{a} =~ {b} ?{c}}",
            '"==" or "!="" or "<"" or "<="" or ">="" or ">" expected at: "...a}>>>=~ {b} ?{c}"',
        ),
        ("${{x} ==level {1}?{a}}", 'malformed compatibility level syntax: "x"'),
        ("$a", 'unreasonable macro call nesting: "b"'),
    ],
)
def test_errors_are_told_as_postfix_does(text: str, complaint: str) -> None:
    with pytest.raises(MacroError) as caught:
        expand(text, VALUES.get)
    assert complaint == caught.value.text


def test_references_are_found_in_every_branch() -> None:
    assert references("$a ${b?{$c}:{$d}}") == (["a", "b", "c", "d"], [])


def test_values_stay_as_they_are_without_recursion() -> None:
    assert expand("$a", VALUES.get, recurse=False) == "$b"


def test_levels_compare_by_number() -> None:
    assert compare("3.10", ">", "3.9", level=True)
    assert not compare("3.10", ">", "3.9", level=False)


@given(st.text(alphabet=st.sampled_from("ab1 $(){}?:=<>!level."), max_size=40))
def test_any_text_expands_or_is_a_macro_error(text: str) -> None:
    try:
        expand(text, VALUES.get)
    except MacroError as error:
        assert error.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a, b  c,d", ("a", "b", "c", "d")),
        ("", ()),
        ("check { unix:x, timeout=1 }, b", ("check", "{ unix:x, timeout=1 }", "b")),
        ("inline:{a=b, c=d} x", ("inline:{a=b, c=d}", "x")),
        ("{ open, b", ("{ open, b",)),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert words == split_words(text)


@given(st.text(alphabet=st.sampled_from("ab{}, \t"), max_size=40))
def test_words_hold_all_that_is_no_separator(text: str) -> None:
    joined = "".join(split_words(text))
    assert [c for c in text if c not in ", \t"] == [c for c in joined if c not in ", \t"]
