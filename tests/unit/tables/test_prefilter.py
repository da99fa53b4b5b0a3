"""The automaton over many patterns misses nothing, and says so when it cannot know."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.tables.open import Opening, open_now
from posthouse.tables.pattern_rules import BadPattern
from posthouse.tables.pcre import compile_pcre, filter_pcre
from posthouse.tables.prefilter import Prefilter, translate
from posthouse.tables.regexp import compile_posix, filter_posix
from posthouse.tables.table import drive

Write = Callable[[str, str], str]


@pytest.mark.parametrize(
    ("pattern", "translated"),
    [
        ("^a.c$", "^a.c$"),
        ("(a|b)+", "(?:a|b)+"),
        (r"a\.b", r"a\x2eb"),
        ("[^]a-c]", r"[^\x5d\x61-\x63]"),
        ("[[:digit:]x-]", r"[[:digit:]\x78\x2d]"),
        ("a{2,3}", "a{2,3}"),
        ("a{2,300}", None),
        ("a+?", None),
        ("*a", None),
        (r"(a)\1", None),
        (r"\<a", None),
        ("[[.a.]]", None),
        ("é", None),
        ("[a", None),
    ],
)
def test_what_is_not_certain_is_always_tried(pattern: str, translated: str | None) -> None:
    assert translate(pattern) == translated


PIECES = st.lists(
    st.sampled_from([*"ab.^$|()*+?]-\n\\", "[ab]", "[^a]", "{2}", "{1,}", "[[:alpha:]]", "\\.", "\\b", "(?:", "A"]),
    max_size=8,
).map(lambda pieces: "".join(pieces).replace("\n", ""))
KEYS = st.text(alphabet="abAB.-\n\\]é", max_size=8)


@settings(max_examples=400)
@given(PIECES, st.sampled_from(["", "i"]), KEYS)
def test_a_pattern_that_matches_is_a_candidate(pattern: str, flags: str, key: str) -> None:
    for compiler, filtering in ((compile_posix, filter_posix), (compile_pcre, filter_pcre)):
        try:
            compiled = compiler(pattern, flags, False)
        except BadPattern:
            continue
        candidates = Prefilter([filtering(pattern, flags)]).candidates(key)
        if compiled.match(key, 0) is not None:
            assert candidates in ([0], None)


def test_many_rules_answer_as_few_do(file: Write) -> None:
    rules = [f"/^{word}$/ {word}" for word in ("one", "two", "three")]
    rules += ["if /^x/", "/y/ nested", "if !/q/", "/z/ deep", "endif", "endif", "!/@/ no-at", "/(o)(n)e@/ $2$1"]
    rules += [f"/^filler{number}@/ filler" for number in range(40)]
    few = "\n".join(rules[:11])
    many = "\n".join(rules)
    small, large = (open_now(f"regexp:{file(name, text)}", Opening()) for name, text in (("s", few), ("l", many)))
    for key in ("one", "xy@", "y@", "xz@", "xqz@", "nothing", "one@", "two@", "@", "filler7@x"):
        expected, found = drive(small.lookup(key)), drive(large.lookup(key))
        if key.startswith("filler"):
            assert found is not None
            assert found.value == "filler"
        else:
            assert (expected and (expected.value, expected.line)) == (found and (found.value, found.line))


def test_a_newline_behind_a_dollar_is_not_lost_in_pcre() -> None:
    assert compile_pcre("$.", "", False).match("x\n", 0) is not None
    assert Prefilter([filter_pcre("$.", "")]).candidates("x\n") == [0]
    assert Prefilter([filter_pcre("x$", "")]).candidates("x\n") == [0]
    assert Prefilter([filter_pcre("x$", "")]).candidates("x\n\n") == []
