"""The fuzz programs run, and a few hundred rounds of each find nothing."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent.parent / "fuzz"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "rounds")
ROUNDS = 200


@pytest.fixture
def fuzz_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize("program", PROGRAMS)
def test_some_rounds_find_nothing(program: str, fuzz_folder: None) -> None:
    rounds = importlib.import_module("rounds")
    module = importlib.import_module(f"fuzz.{program}")
    assert module.__doc__
    assert rounds.run(module.SEEDS, module.ALPHABET, module.check, 1, lambda done: done >= ROUNDS) == ROUNDS


def test_every_program_is_in_the_readme() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [program for program in PROGRAMS if f"| `{program}` |" not in text] == []
