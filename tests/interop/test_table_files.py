"""Table files made here are read by the real Postfix, and the other way round."""

from pathlib import Path

import pytest

from tests.interop.peers import peer
from tests.system.machine import COMMANDS, Ran, run

ROWS = "".join(f"key{number}@example.com value {number}\n" for number in range(2000)) + "@example.com all\nUpper@X y\n"
KEYS = ("key0@example.com", "key1999@example.com", "@example.com", "upper@x", "nobody@example.com")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration folder that both can use, with a table's source and an alias file."""
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    (tmp_path / "master.cf").write_text("")
    (tmp_path / "table").write_text(ROWS)
    (tmp_path / "aliases").write_text("postmaster: root\nRoot: tony\ngroup: a, b,\n  c\n")
    return tmp_path


def ours(name: str, folder: Path, *argv: str) -> Ran:
    """Our command."""
    return run([str(COMMANDS / name), "-c", str(folder), *argv])


def theirs(name: str, folder: Path, *argv: str) -> Ran:
    """The real one."""
    return run([f"/usr/sbin/{name}", "-c", str(folder), *argv])


@pytest.mark.parametrize("table_type", ["hash", "btree"])
@pytest.mark.parametrize("direction", ["ours to theirs", "theirs to ours"])
def test_a_table_file_is_read_by_the_other(folder: Path, table_type: str, direction: str) -> None:
    peer("postmap", package="postfix")
    make, read = (ours, theirs) if direction == "ours to theirs" else (theirs, ours)
    spec = f"{table_type}:{folder}/table"
    made = make("postmap", folder, spec)
    assert (made.status, made.err) == (0, "")
    expected = {
        "key0@example.com": "value 0",
        "key1999@example.com": "value 1999",
        "@example.com": "all",
        "upper@x": "y",
    }
    for key in KEYS:
        answer = read("postmap", folder, "-q", key, spec)
        value = expected.get(key)
        assert (answer.status, answer.out) == ((0, f"{value}\n") if value else (1, "")), (key, answer)
    assert sorted(read("postmap", folder, "-s", spec).out.splitlines()) == sorted(
        make("postmap", folder, "-s", spec).out.splitlines()
    )


@pytest.mark.parametrize("direction", ["ours to theirs", "theirs to ours"])
def test_an_alias_file_is_read_by_the_other(folder: Path, direction: str) -> None:
    peer("postalias", package="postfix")
    make, read = (ours, theirs) if direction == "ours to theirs" else (theirs, ours)
    spec = f"hash:{folder}/aliases"
    assert make("postalias", folder, spec).status == 0
    for key, value in (("postmaster", "root"), ("root", "tony"), ("GROUP", "a, b, c")):
        assert read("postalias", folder, "-q", key, spec).out == f"{value}\n"


def test_a_row_added_by_the_other_is_seen(folder: Path) -> None:
    peer("postmap", package="postfix")
    spec = f"hash:{folder}/table"
    assert ours("postmap", folder, spec).status == 0
    assert run(["/usr/sbin/postmap", "-c", str(folder), "-i", spec], "added@example.com later\n").status == 0
    assert ours("postmap", folder, "-q", "added@example.com", spec).out == "later\n"
    assert ours("postmap", folder, "-d", "added@example.com", spec).status == 0
    assert theirs("postmap", folder, "-q", "added@example.com", spec).status == 1
