"""Steps of a take-over: made, made half, undone. Without dpkg: the diversion itself is told in tests/system."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.commands import takeover_steps
from posthouse.commands.takeover_steps import Record, Step, StepFailed, make, read_record, undo


@pytest.fixture(autouse=True)
def no_dpkg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover_steps, "divert_program", lambda: None)


def state(folder: Path) -> dict[str, str]:
    """Names, and where links point to or what files say."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def command(folder: Path) -> Step:
    (folder / "sendmail").write_text("old")
    return Step("divert", str(folder / "sendmail"), "/opt/ours/sendmail")


def test_a_command_moves_aside_and_comes_back(tmp_path: Path) -> None:
    step = command(tmp_path)
    before = state(tmp_path)
    make(step)
    assert state(tmp_path) == {"sendmail": "/opt/ours/sendmail", "sendmail.of-postfix": "old"}
    make(step)
    assert state(tmp_path) == {"sendmail": "/opt/ours/sendmail", "sendmail.of-postfix": "old"}
    undo(step)
    assert state(tmp_path) == before
    undo(step)
    assert state(tmp_path) == before


def test_a_link_of_the_package_is_kept_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "mailq").symlink_to("../sbin/sendmail")
    step = Step("divert", str(tmp_path / "mailq"), "/opt/ours/mailq")
    make(step)
    assert state(tmp_path) == {"mailq": "/opt/ours/mailq", "mailq.of-postfix": "../sbin/sendmail"}
    undo(step)
    assert state(tmp_path) == {"mailq": "../sbin/sendmail"}


def test_a_diversion_that_was_broken_off_between_its_two_names_is_undone(tmp_path: Path) -> None:
    step = command(tmp_path)
    os.link(tmp_path / "sendmail", tmp_path / "sendmail.of-postfix")
    undo(step)
    assert state(tmp_path) == {"sendmail": "old"}


def test_our_link_goes_though_the_package_was_removed_meanwhile(tmp_path: Path) -> None:
    step = command(tmp_path)
    make(step)
    (tmp_path / "sendmail.of-postfix").unlink()
    undo(step)
    assert state(tmp_path) == {}


def test_a_new_version_of_the_package_is_what_comes_back(tmp_path: Path) -> None:
    step = command(tmp_path)
    make(step)
    (tmp_path / "sendmail.of-postfix").write_text("new")  # what dpkg does with a diverted file
    undo(step)
    assert state(tmp_path) == {"sendmail": "new"}


def test_units_take_the_place_of_others_and_give_it_back(tmp_path: Path) -> None:
    (tmp_path / "postfix.service").write_text("the operator's own")
    (tmp_path / "posthouse.service").write_text("somebody's")
    steps = [
        Step("link", str(tmp_path / "postfix.service"), "/dev/null"),
        Step("file", str(tmp_path / "posthouse.service"), "ours\n"),
        Step("link", str(tmp_path / "wants" / "posthouse.service"), "../posthouse.service"),
    ]
    before = state(tmp_path)
    for step in (*steps, *steps):
        make(step)
    assert state(tmp_path)["posthouse.service"] == "ours\n"
    assert state(tmp_path)["wants/posthouse.service"] == "../posthouse.service"
    for step in (*reversed(steps), *reversed(steps)):
        undo(step)
    assert state(tmp_path) == before


def test_a_file_that_was_edited_since_stays(tmp_path: Path) -> None:
    step = Step("file", str(tmp_path / "posthouse.service"), "ours\n")
    make(step)
    (tmp_path / "posthouse.service").write_text("ours, edited\n")
    undo(step)
    assert state(tmp_path) == {"posthouse.service": "ours, edited\n"}


def test_an_unknown_step_is_refused(tmp_path: Path) -> None:
    for do in (make, undo):
        with pytest.raises(StepFailed, match="unknown step dance"):
            do(Step("dance", str(tmp_path), ""))


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    path = str(tmp_path / "lib" / "takeover.json")
    assert read_record(path) is None
    record = Record("/etc/postfix", True, False, [Step("link", "/a", "/b")], path)
    record.save()
    assert read_record(path) == record
    record.remove()
    assert read_record(path) is None


@given(
    st.one_of(st.binary(max_size=60), st.recursive(st.none() | st.text(max_size=5), st.lists).map(repr).map(str.encode))
)
def test_any_bytes_are_a_record_or_damaged(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            read_record(file.name)
        except StepFailed as error:
            assert str(error).startswith(f"{file.name} is damaged (")


class Killed(BaseException):
    """The process ends here."""


CALLS = ("link", "symlink", "rename", "unlink")


@pytest.mark.parametrize("do_it", [make, undo])
def test_killed_at_each_call_and_undone_everything_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do_it: Callable[[Step], None]
) -> None:
    """make() is killed before its n-th change of a name; undo() then undoes; and undo() is killed and run again."""
    at = 0
    killed = True
    while killed:
        at += 1
        folder = tmp_path / f"{at}"
        folder.mkdir()
        step = command(folder)
        before = state(folder)
        if do_it is undo:
            make(step)
        left = at

        def counted(real: Callable[..., None]) -> Callable[..., None]:
            def call(*words: str, **more: object) -> None:
                nonlocal left
                left -= 1
                if not left:
                    raise Killed
                real(*words, **more)

            return call

        with monkeypatch.context() as patched:
            for name in CALLS:
                patched.setattr(os, name, counted(getattr(os, name)))
            try:
                do_it(step)
                killed = False
            except Killed:
                pass
        assert (folder / "sendmail").is_symlink() or (folder / "sendmail").exists()
        undo(step)
        assert state(folder) == before, at
    assert at > 1
