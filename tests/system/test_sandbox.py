"""`posthouse sandbox --once`: the story on high ports, for any user."""

import os

import pytest

from tests.system.machine import run


def played(user: str = "") -> None:
    ran = run(["posthouse", "sandbox", "--once"], user=user, within=90)
    assert ran.status == 0, ran
    assert ran.out.count("\narrived  ") == 4, ran.out
    assert "LOST" not in ran.out


def test_the_sandbox_delivers_every_letter() -> None:
    played()


def test_the_sandbox_runs_for_an_ordinary_user() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else: whoever runs this is an ordinary user already")
    played("nobody")
