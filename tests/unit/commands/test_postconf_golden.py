"""Sessions with postconf, recorded from Postfix 3.7.11: tests/golden/postconf/<case>/{main.cf,master.cf,in,out}."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from posthouse.commands.postconf import main

CASES = sorted((Path(__file__).parents[2] / "golden" / "postconf").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_postconf_says_what_postfix_says(case: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for name in ("main.cf", "master.cf"):
        shutil.copy(case / name, tmp_path)
    said = ""
    for line in (case / "in").read_text().splitlines():
        status = main(["-c", str(tmp_path), *shlex.split(line)])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        warnings = "".join(f"{text}\n" for text in sorted(err.decode().splitlines()))
        said += f"$ postconf {line}\n{out.decode()}{warnings}exit {status}\n"
    for name in ("main.cf", "master.cf"):
        said += f"--- {name}\n" + (tmp_path / name).read_text()
    assert (case / "out").read_text() == said.replace(str(tmp_path), "@")
