"""The five tests and their times, and the file that keeps them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.error import ConfigError
from posthouse.session.postscreen.cache import (
    CLEANED,
    Cleaning,
    FileCache,
    NoCache,
    format_line,
    open_cache,
    parse_line,
)
from posthouse.session.postscreen.passes import EnabledTests, format_passes, parse_passes
from posthouse.session.postscreen.settings import PostscreenSettings
from posthouse.session.postscreen.trials import DNSBL, NON_SMTP, PREGREET

moments = st.lists(st.integers(0, 10**12 - 1), min_size=5, max_size=5)


@given(moments)
def test_a_line_of_passes_says_what_went_in(until: list[int]) -> None:
    assert parse_passes(format_passes(until)) == until


@given(st.text())
def test_any_text_is_a_line_of_passes_or_none(text: str) -> None:
    found = parse_passes(text)
    assert found is None or (len(found) == 5 and all(moment >= 0 for moment in found))


def test_tests_that_an_older_program_did_not_know_were_off() -> None:
    assert parse_passes("1700000000;0") == [1700000000, 0, 1, 1, 1]
    assert parse_passes("") is None
    assert parse_passes("1;2;3;4;5;6") is None
    assert parse_passes("-1") is None


@given(st.binary())
def test_any_bytes_are_a_line_of_the_cache_or_none(line: bytes) -> None:
    found = parse_line(line)
    assert found is None or format_line(*found) == line + b"\n"


def enabled(**settings: object) -> EnabledTests:
    return EnabledTests(PostscreenSettings(**settings))  # type: ignore[arg-type]  # names are the fields'


def test_a_test_is_due_when_its_time_is_over_and_the_lists_are_asked_with_any_early_one() -> None:
    on = enabled(postscreen_dnsbl_sites="bl.test", postscreen_non_smtp_command_enable=True)
    assert on.due([100, 100, 1, 100, 1], 100) == set()
    assert on.due([99, 500, 1, 500, 1], 100) == {PREGREET, DNSBL}
    assert on.due([500, 99, 1, 500, 1], 100) == {DNSBL}
    assert on.due([500, 500, 1, 1, 1], 100) == {NON_SMTP}
    assert enabled(postscreen_greet_banner="").due([0] * 5, 100) == set()


def test_a_client_is_new_while_a_test_was_never_passed() -> None:
    on = enabled(postscreen_non_smtp_command_enable=True)
    assert on.is_new([0, 0, 0, 5, 0])
    assert on.is_new([5, 0, 0, 0, 0])
    assert not on.is_new([5, 0, 0, 1, 0])


def test_a_test_that_is_off_is_kept_as_off() -> None:
    assert enabled().kept([9, 0, 0, 7, 0]) == "9;1;1;7;1"
    assert enabled(postscreen_pipelining_enable=True).kept([9, 0, 0, 0, 0]) == "9;1;0;1;1"


def test_a_failure_that_is_ignored_counts_for_the_shortest_time() -> None:
    assert enabled().shortest_ttl == 60
    assert enabled(postscreen_greet_ttl=5).shortest_ttl == 5


def test_what_one_worker_writes_another_finds(tmp_path: Path) -> None:
    warnings: list[str] = []
    one, two = (FileCache("btree:x", str(tmp_path / "c"), warnings.append) for _ in range(2))
    one.put("192.0.2.1", "5;1;1;1;1")
    assert two.get("192.0.2.1") == "5;1;1;1;1"
    two.put("192.0.2.1", "9;1;1;1;1")
    two.put("2001:db8::1", "7;1;1;1;1")
    assert one.get("192.0.2.1") == "9;1;1;1;1"
    assert one.rewrite(lambda text: text.startswith("7")) == (1, 1)
    assert two.get("192.0.2.1") is None
    assert two.get("2001:db8::1") == "7;1;1;1;1"
    assert (tmp_path / "c").read_text() == "2001:db8::1\t7;1;1;1;1\n"
    assert warnings == []


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"\xff\n192.0.2.1\t1;2\nnonsense\n192.0.2.2\tx\n192.0.2.3\t4;5;6;7;8\n192.0.2.4\t4")
    cache = FileCache("btree:x", str(tmp_path / "c"), lambda text: None)
    assert cache.get("192.0.2.1") == "1;2"
    assert cache.get("192.0.2.2") is None
    assert cache.get("192.0.2.3") == "4;5;6;7;8"
    assert cache.get("192.0.2.4") is None


def test_a_cache_that_cannot_be_kept_is_told_once_and_goes_on_in_memory(tmp_path: Path) -> None:
    warnings: list[str] = []
    cache = FileCache("btree:x", str(tmp_path / "no" / "c"), warnings.append)
    cache.put("192.0.2.1", "5;1;1;1;1")
    assert cache.get("192.0.2.1") == "5;1;1;1;1"
    assert warnings == [f"cannot keep the postscreen cache in {tmp_path}/no/c: No such file or directory"]


def test_the_parameter_names_a_table_with_a_path() -> None:
    assert isinstance(open_cache("  ", print), NoCache)
    opened = open_cache("proxy:btree:/var/lib/postfix/x", print)
    assert isinstance(opened, FileCache)
    assert opened.title == "proxy:btree:/var/lib/postfix/x"
    with pytest.raises(ConfigError, match="parameter postscreen_cache_map: memcache:x: need type:/absolute/path"):
        open_cache("memcache:x", print)


def test_the_cache_is_cleaned_when_it_is_time_and_says_so(tmp_path: Path) -> None:
    lines: list[str] = []
    cache = FileCache("btree:x", str(tmp_path / "c"), lines.append)
    cache.put("192.0.2.1", "1000;1;1;1;1")
    cache.put("192.0.2.2", "5000;1;1;1;1")
    cleaning = Cleaning(cache, enabled(), interval=100, retention=500)
    cleaning.tend(1400.0, lines.append)
    cleaning.tend(1499.0, lines.append)
    assert lines == ["cache btree:x full cleanup: retained=2 dropped=0 entries"]
    # Another process that starts knows when it was cleaned last.
    again = FileCache("btree:x", str(tmp_path / "c"), lines.append)
    Cleaning(again, enabled(), interval=100, retention=500).tend(1450.0, lines.append)
    assert len(lines) == 1
    cleaning.tend(1501.0, lines.append)
    assert lines[1:] == ["cache btree:x full cleanup: retained=1 dropped=1 entries"]
    assert again.get("192.0.2.1") is None
    assert again.get(CLEANED) == "1501"


def test_an_interval_of_nothing_never_cleans(tmp_path: Path) -> None:
    cache = FileCache("btree:x", str(tmp_path / "c"), print)
    Cleaning(cache, enabled(), interval=0, retention=1).tend(5000.0, pytest.fail)
