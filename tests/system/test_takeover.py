"""posthouse takeover and give-back, in a root of its own; this machine's commands and spool stay as they are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import takeover_story

UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


@pytest.fixture
def root(tmp_path: Path) -> list[str]:
    """The command that runs another in such a root."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mount namespaces")
    for name in ("unshare", "ip", "dpkg-divert", "setpriv"):
        if shutil.which(name) is None:
            pytest.skip(f"needs {name}")
    if not Path("/usr/lib/postfix/sbin/master").exists():
        pytest.skip("needs postfix (Debian: apt-get install postfix)")
    overlay = f"mount -t tmpfs t {tmp_path} && mkdir {tmp_path}/u {tmp_path}/w && "
    overlay += f"mount -t overlay -o lowerdir=/usr,upperdir={tmp_path}/u,workdir={tmp_path}/w o /usr"
    tried = subprocess.run([*UNSHARE, "sh", "-c", overlay], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no namespaces or overlays here: {tried.stderr.strip()}")
    return UNSHARE


def _spool() -> list[str]:
    return sorted(str(path) for path in Path("/var/spool/postfix").rglob("*"))


def tell(root: list[str], tmp_path: Path, *words: str) -> None:
    """Run one story; this machine is as before."""
    before, spool = takeover_story.fingerprint(), _spool()
    scratch = tmp_path / "root"
    scratch.mkdir()
    story = [sys.executable, "-m", "tests.system.takeover_story", str(scratch), *words]
    ran = subprocess.run([*root, *story], capture_output=True, text=True, check=False, timeout=600)
    assert takeover_story.differences(before) == []
    assert _spool() == spool
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("told\n")


def test_a_machine_is_taken_over_and_given_back(root: list[str], tmp_path: Path) -> None:
    tell(root, tmp_path, "4")


@pytest.mark.parametrize("story", ["options", "updated", "full", "crashed"])
def test_what_may_come_between(root: list[str], tmp_path: Path, story: str) -> None:
    tell(root, tmp_path, story)


def test_killed_before_any_step(root: list[str], tmp_path: Path) -> None:
    tell(root, tmp_path, "each_step", "17")
