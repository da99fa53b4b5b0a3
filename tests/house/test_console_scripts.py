"""Every command that `pip install` puts in bin has its module, and refuses a wrong option in words."""

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["posthouse"][
    "scripts"
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_its_module(script: str) -> None:
    assert importlib.util.find_spec(f"posthouse.commands.{SCRIPTS[script]}") is not None


def test_a_wrong_option_is_refused_without_a_traceback() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = {
        script: subprocess.Popen(
            [sys.executable, "-c", _run(target), "--no-such-option"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for script, target in SCRIPTS.items()
    }
    for script, process in running.items():
        said = process.communicate(timeout=30)[1]
        assert process.returncode not in (0, None), script
        assert "Traceback" not in said, said
        assert "option" in said, said


def _run(name: str) -> str:
    # Not entry.run(): with PYTHONPATH set it would start anew without it, and so without this source.
    return f"import sys; from posthouse.commands.{name} import main; sys.exit(main(sys.argv[1:]))"
