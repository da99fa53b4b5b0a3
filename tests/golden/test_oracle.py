"""What the real Postfix 3.7.11 did, as it was recorded, done by ours."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.golden.oracle_case import mask, run_case

FOLDERS = ("oracle", "live")
"""Cases that were handed to us, and our own, recorded by the same program from the same Postfix."""
CASES = sorted(path for folder in FOLDERS for path in (Path(__file__).parent / folder).glob("*/case.json"))
COMMANDS = os.environ.get("POSTHOUSE_COMMANDS") or str(Path(sys.executable).parent)


@pytest.mark.parametrize("path", CASES, ids=[path.parent.name for path in CASES])
def test_it_does_what_postfix_did(path: Path) -> None:
    case = json.loads(path.read_text())
    if case.get("tier", "static") != "static" and os.geteuid() != 0:
        pytest.skip("needs root: it makes a queue of its own, with Postfix's owners")
    assert mask(case["expect"]) == mask(run_case(case, COMMANDS))
