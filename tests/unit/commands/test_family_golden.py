"""Sessions with Postfix's smaller commands, recorded from 3.7.11: tests/golden/<command>/<case>."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[2] / "golden"
CASES = [case for name in ("postlock", "postkick", "postlog") for case in sorted((GOLDEN / name).iterdir())]


def play(case: Path, folder: Path, path: str) -> str:
    """What the commands say; the text of main.cf and of the session with @ for the folder."""
    for name in ("queue", "data"):
        (folder / name).mkdir()
    for name in ("main.cf", "master.cf"):
        (folder / name).write_text((case / name).read_text().replace("@", str(folder)))
    environment = {"PATH": path, "MAIL_CONFIG": str(folder), "LANG": "C.UTF-8"}
    said = ""
    for line in (case / "in").read_text().splitlines():
        done = subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, check=False)
        said += f"$ {line}\n{done.stdout.decode()}"
        if case.parent.name != "postlog":  # in 3.7 it is silent when standard error is no terminal
            said += done.stderr.decode()
        said += f"exit {done.returncode}\n"
    log = folder / "log"
    if log.exists():
        said += "--- log\n" + re.sub(r"(?m)^.{15} host (.*?)\[\d+\]:", r"\1:", log.read_text())
    return said.replace(str(folder), "@")


@pytest.fixture
def commands(tmp_path: Path) -> str:
    """A folder of commands that run this source, and the system's tools behind it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("postlock", "postkick", "postlog"):
        script = folder / name
        start = (
            f"import sys; sys.argv[0] = {name!r}; from posthouse.commands import entry; sys.exit(entry.run({name!r}))"
        )
        script.write_text(f"#!{sys.executable}\n{start}\n")
        script.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_the_command_says_what_postfixs_says(case: Path, tmp_path: Path, commands: str) -> None:
    folder = tmp_path / "play"
    folder.mkdir()
    assert (case / "out").read_text() == play(case, folder, commands)


if __name__ == "__main__":  # records anew, from the Postfix of this machine
    import tempfile

    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            (case / "out").write_text(play(case, Path(folder), f"/usr/sbin:{os.defpath}"))
