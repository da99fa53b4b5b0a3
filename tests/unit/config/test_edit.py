import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.edit_main import edit_main, parse_assignments
from posthouse.config.edit_master import apply_changes, new_entry, parse_change, replace_entries
from posthouse.config.error import ConfigError
from posthouse.config.main_cf import parse_main_cf
from posthouse.config.rewrite import rewrite_file

MAIN = "# top\na = 1\n  # inner\n  2\nb = 3\na = 4\n"


def test_every_entry_of_the_name_is_replaced_and_comments_stay() -> None:
    assert edit_main(MAIN, {"a": "x"}, [], remove=False) == ("# top\na = x\n  # inner\nb = 3\na = x\n", ["a"])


def test_a_new_name_goes_to_the_end() -> None:
    assert edit_main("a = 1\n", {"c": ""}, [], remove=False)[0] == "a = 1\nc = \n"


def test_a_new_name_does_not_damage_a_last_line_without_newline() -> None:
    assert edit_main("a = 1", {"c": "2"}, [], remove=False)[0] == "a = 1\nc = 2\n"


def test_names_are_commented_out_line_by_line() -> None:
    assert edit_main(MAIN, None, ["a"], remove=False)[0] == "# top\n#a = 1\n  # inner\n#  2\nb = 3\n#a = 4\n"


def test_names_are_removed_with_their_continuation() -> None:
    assert edit_main(MAIN, None, ["a"], remove=True)[0] == "# top\n  # inner\nb = 3\n"


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("relayhost", "missing '=' after attribute name: \"relayhost\""),
        ("=x", 'missing attribute name: "=x"'),
        ("# x=y", "-e, -X, or -# accepts no comment input"),
        ("x=1\ny=2", "-e, -X, or -# accepts no multi-line input"),
    ],
)
def test_what_would_break_the_file_is_refused(argument: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_assignments([argument])
    assert complaint == caught.value.text


@given(
    st.text(alphabet=st.sampled_from("ab =#\n \t"), max_size=60),
    st.text(alphabet=st.sampled_from("xy= "), max_size=6),
)
def test_after_an_edit_the_value_is_the_one_asked_for_and_others_stay(text: str, value: str) -> None:
    try:
        before = {e.name: e.value for e in parse_main_cf(text, "F").entries}
    except ConfigError:
        return
    after = {
        e.name: e.value for e in parse_main_cf(edit_main(text, {"a": value.strip()}, [], remove=False)[0], "F").entries
    }
    assert value.strip() == after.pop("a")
    before.pop("a", None)
    assert before == after


MASTER = "# top\nsmtp inet n - y - - smtpd\n# mid\nsub inet n - y - - smtpd\n  -o a=b\n# in\n  -o c=d\n# end\n"


def test_a_replaced_entry_keeps_its_inner_comments_after_it() -> None:
    pattern, entry = new_entry("sub/inet=sub inet n - n - - smtpd -o x=y")
    assert replace_entries(MASTER, {pattern: entry}) == (
        "# top\nsmtp inet n - y - - smtpd\n# mid\n"
        "sub        inet  n       -       n       -       -       smtpd\n    -o x=y\n# in\n# end\n"
    )


def test_a_changed_field_prints_the_entry_after_its_comments() -> None:
    text, unmatched = apply_changes(MASTER, [parse_change("smtp/inet/process_limit=5", "F", "e")], "M")
    assert text.startswith("# top\n# mid\nsmtp       inet  n       -       y       -       5       smtpd\nsub inet")
    assert unmatched == []


def test_a_setting_is_changed_added_and_removed() -> None:
    changes = [
        parse_change("sub/inet/a=new", "P", "e"),
        parse_change("sub/inet/z=1", "P", "e"),
        parse_change("sub/inet/c", "P", "X"),
        parse_change("none/inet/a=b", "P", "e"),
    ]
    text, warnings = apply_changes(MASTER, changes, "M")
    assert text.endswith("smtpd\n    -o a=new\n    -o z=1\n")
    assert warnings == ['unmatched service_name/type: "none/inet/a=b"']


def test_a_rewrite_keeps_mode_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "main.cf"
    path.write_text("a = 1\n")
    path.chmod(0o640)
    rewrite_file(str(path), lambda text: text + "b = 2\n")
    assert (
        path.read_text(),
        path.stat().st_mode & 0o777,
        os.listdir(tmp_path),
    ) == ("a = 1\nb = 2\n", 0o640, ["main.cf"])


def test_a_refused_edit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "main.cf"
    path.write_text("a = 1\n")

    def refuse(text: str) -> str:
        raise ConfigError("no")

    with pytest.raises(ConfigError):
        rewrite_file(str(path), refuse)
    assert (path.read_text(), os.listdir(tmp_path)) == ("a = 1\n", ["main.cf"])


def test_edits_in_many_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "main.cf"
    path.write_text("")
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            try:
                for step in range(5):
                    rewrite_file(str(path), lambda text, n=number, s=step: text + f"p{n}_{s} = x\n")  # type: ignore[misc]
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert len(path.read_text().splitlines()) == 40


def test_an_entry_that_nobody_asked_about_need_not_be_sound() -> None:
    text, warnings = apply_changes("bad pass y n\n" + MASTER, [parse_change("sub/inet/a=new", "P", "e")], "M")
    assert text.startswith("bad pass y n\n")
    assert "    -o a=new\n" in text
    assert warnings == []
    with pytest.raises(ConfigError, match="file M: line 1: bad field count"):
        apply_changes("bad pass y n\n" + MASTER, [parse_change("bad/pass/a=new", "P", "e")], "M")
