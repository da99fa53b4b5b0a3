"""Ten configurations after public stacks (tests/golden/stacks): postconf of Postfix and ours list them alike."""

import os
import time
from pathlib import Path

import pytest

from tests.golden.stacks.stack import FOLDER, LISTINGS, NAMES, listings, more_options, recorded_options, write_stack
from tests.interop.differential import REAL, compare, theirs

pytestmark = pytest.mark.skipif(
    not (REAL / "postconf").exists(), reason="needs postfix (Debian: apt-get install postfix)"
)

NAMES_WITH_TABLES = [name for name in NAMES if "@conf=" in (FOLDER / name / "main.cf").read_text()]

RECORD = "RECORD_STACKS" in os.environ
"""Whether to write down anew what Postfix says."""


def written(name: str, folder: Path, **values: str) -> Path:
    """The stack's files, old enough that Postfix does not read them twice."""
    write_stack(name, folder, values)
    past = time.time() - 1000
    for path in folder.iterdir():
        os.utime(path, (past, past))
    return folder


def real(argv: list[str]) -> tuple[int, bytes, bytes]:
    """Postfix's postconf."""
    ran = theirs(argv)
    return ran.status, ran.out, "\n".join(ran.err).strip("\n").encode()


@pytest.mark.parametrize("name", NAMES)
def test_both_list_a_stack_alike(name: str, tmp_path: Path) -> None:
    folder = written(name, tmp_path)
    for arguments in recorded_options(folder) + more_options(folder):
        compare(["postconf", "-c", str(folder), *arguments])


@pytest.mark.parametrize("name", NAMES_WITH_TABLES)
def test_both_look_into_its_table_files_alike(name: str, tmp_path: Path) -> None:
    folder = written(name, tmp_path, conf=str(tmp_path))
    for arguments in (["-n"], ["-nx"], ["-P"]):
        compare(["postconf", "-c", str(folder), *arguments])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recorded_is_what_postfix_says(name: str, tmp_path: Path) -> None:
    said = listings(written(name, tmp_path), real)
    if RECORD:
        (FOLDER / name / LISTINGS).write_text(said)
    assert (FOLDER / name / LISTINGS).read_text() == said
