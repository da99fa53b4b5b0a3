"""Sessions with postmap and postalias, recorded from Postfix 3.7.11: tests/golden/postmap/<case>/{files/,in,out}.

What is listed by -s is sorted, and so is what is said on standard error.
"""

import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from posthouse.commands import postalias, postmap
from posthouse.tables.keyed_file import open_keyed_file

CASES = sorted((Path(__file__).parents[2] / "golden" / "postmap").iterdir())
MAIN = {"postmap": postmap.main, "postalias": postalias.main}


class Input:
    """Standard input as bytes."""

    def __init__(self, text: str) -> None:
        self.buffer = io.BytesIO(text.replace("\\n", "\n").encode())


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_postmap_says_what_postfix_says(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    shutil.copytree(case / "files", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    said = ""
    for line in (case / "in").read_text().splitlines():
        command, _, text = line.partition(" < ")
        monkeypatch.setattr(sys, "stdin", Input(text))
        program, *words = shlex.split(command)
        status = MAIN[program](["-c", str(tmp_path), *words])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        shown = out.decode().splitlines()
        if " -s " in command:
            shown.sort()
        shown += sorted(err.decode().splitlines())
        listed = "".join(f"{each}\n" for each in shown)
        listed = re.sub(r"(YP_LAST_MODIFIED:?\t)\d+", r"\1@", listed)
        listed = listed.replace("query error: Application error", "query error")
        said += f"$ {command}\n{listed}exit {status}\n"
    assert said.replace(str(tmp_path), "@") == (case / "out").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    (tmp_path / "v").write_text("a 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("mode", "options", "expected"),
    [(0o600, [], 0o600), (0o640, [], 0o640), (0o666, [], 0o644), (0o600, ["-p"], 0o644)],
)
def test_the_result_may_be_read_by_those_who_may_read_the_source(
    folder: Path, mode: int, options: list[str], expected: int
) -> None:
    os.chmod(folder / "v", mode)
    assert postmap.main(["-c", str(folder), *options, f"hash:{folder}/v"]) == 0
    assert (folder / "v.db").stat().st_mode & 0o777 == expected


def test_a_result_that_is_there_keeps_its_mode_and_owner(folder: Path) -> None:
    (folder / "v.db").touch()
    os.chmod(folder / "v.db", 0o640)
    if os.geteuid() == 0:
        os.chown(folder / "v.db", 1, 1)
    assert postmap.main(["-c", str(folder), f"hash:{folder}/v"]) == 0
    status = (folder / "v.db").stat()
    assert status.st_mode & 0o777 == 0o640
    assert status.st_uid == (1 if os.geteuid() == 0 else os.geteuid())


@pytest.mark.parametrize("kind", ["lmdb", "cdb", "btree"])
def test_other_kinds_of_files(folder: Path, kind: str) -> None:
    assert postmap.main(["-c", str(folder), f"{kind}:{folder}/v"]) == 0
    table = open_keyed_file(kind, kind, f"{folder}/v")
    assert list(table.items()) == [("a", "1")]


def test_readers_keep_the_old_table_while_a_new_one_is_made(folder: Path) -> None:
    postmap.main(["-c", str(folder), f"hash:{folder}/v"])
    table = open_keyed_file("hash", "hash", f"{folder}/v")
    (folder / "v").write_text("b 2\n")
    postmap.main(["-c", str(folder), f"hash:{folder}/v"])
    assert list(table.items()) == [("a", "1")]
    assert list(open_keyed_file("hash", "hash", f"{folder}/v").items()) == [("b", "2")]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_the_owner_of_a_source_may_make_its_table_in_a_folder_that_is_not_theirs(folder: Path) -> None:
    place = folder
    while place != Path(tempfile.gettempdir()):
        os.chmod(place, 0o755)
        place = place.parent
    (folder / "v.db").touch()
    for name in ("v", "v.db"):
        os.chown(folder / name, 1, 1)
    assert postmap.main(["-c", str(folder), f"hash:{folder}/v"]) == 0
    assert list(open_keyed_file("hash", "hash", f"{folder}/v").items()) == [("a", "1")]
    (folder / "v.db").unlink()
    assert postmap.main(["-c", str(folder), f"hash:{folder}/v"]) == 1
    assert postmap.main(["-o", "-c", str(folder), f"hash:{folder}/v"]) == 0
