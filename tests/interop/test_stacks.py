"""Ten configurations after public stacks (tests/golden/stacks): postconf of Postfix and ours list them alike."""

import os

import pytest

from tests.golden.stacks.stack import FOLDER, LISTINGS, NAMES, listings, more_options, recorded_options, written
from tests.interop.differential import REAL, compare, theirs

pytestmark = pytest.mark.skipif(
    not (REAL / "postconf").exists(), reason="needs postfix (Debian: apt-get install postfix)"
)

NAMES_WITH_TABLES = [name for name in NAMES if "@conf=" in (FOLDER / name / "main.cf").read_text()]

RECORD = "RECORD_STACKS" in os.environ
"""Whether to write down anew what Postfix says."""


def real(argv: list[str]) -> tuple[int, bytes, bytes]:
    """Postfix's postconf."""
    ran = theirs(argv)
    return ran.status, ran.out, "\n".join(ran.err).strip("\n").encode()


@pytest.mark.parametrize("name", NAMES)
def test_both_list_a_stack_alike(name: str) -> None:
    with written(name) as folder:
        for arguments in recorded_options(folder) + more_options(folder):
            compare(["postconf", "-c", str(folder), *arguments])


@pytest.mark.parametrize("name", NAMES_WITH_TABLES)
def test_both_look_into_its_table_files_alike(name: str) -> None:
    with written(name, conf="HERE") as folder:
        for arguments in (["-n"], ["-nx"], ["-P"]):
            compare(["postconf", "-c", str(folder), *arguments])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recorded_is_what_postfix_says(name: str) -> None:
    with written(name) as folder:
        said = listings(folder, real)
    if RECORD:
        (FOLDER / name / LISTINGS).write_text(said)
    assert (FOLDER / name / LISTINGS).read_text() == said
