"""The two locks of a master, and who owns them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.config.error import ConfigError
from posthouse.host.users import Identity, own_identity, user_identity
from posthouse.service.master_locks import AlreadyRunning, take_master_locks

ROOT = os.geteuid() == 0


@pytest.fixture
def folders() -> Iterator[tuple[str, str]]:
    top = Path(tempfile.mkdtemp(prefix="posthouse-locks-"))  # pytest's own are root's alone
    top.chmod(0o711)
    (top / "spool" / "pid").mkdir(parents=True)
    (top / "data").mkdir()
    yield str(top / "spool"), str(top / "data")
    shutil.rmtree(top)


def close(locks: list[int]) -> None:
    for lock in locks:
        os.close(lock)


def test_the_process_id_stands_in_both_as_postfix_writes_it(folders: tuple[str, str]) -> None:
    locks = take_master_locks(*folders, own_identity())
    for path in (f"{folders[0]}/pid/master.pid", f"{folders[1]}/master.lock"):
        assert Path(path).read_text() == f"{os.getpid():32d}\n"
    close(locks)


def test_the_lock_that_is_held_is_named(folders: tuple[str, str]) -> None:
    why = ": unable to set exclusive lock: Resource temporarily unavailable"
    spool, data = folders
    locks = take_master_locks(spool, data, own_identity())
    with pytest.raises(AlreadyRunning, match="^open lock file pid/master.pid" + why):
        take_master_locks(spool, data, own_identity())
    os.close(locks[0])
    with pytest.raises(AlreadyRunning, match=f"^open lock file {data}/master.lock{why}"):
        take_master_locks(spool, data, own_identity())
    os.close(locks[1])
    close(take_master_locks(spool, data, own_identity()))


@pytest.mark.skipif(not ROOT, reason="needs root")
@pytest.mark.parametrize("left_by_root", [False, True])
def test_the_lock_in_mail_owners_folder_is_mail_owners(folders: tuple[str, str], left_by_root: bool) -> None:
    owner = user_identity("nobody")
    spool, data = folders
    os.chown(data, owner.uid, owner.gid)
    if left_by_root:
        Path(data, "master.lock").touch()
    close(take_master_locks(spool, data, owner))
    assert Path(data, "master.lock").stat().st_uid == owner.uid
    assert (os.geteuid(), os.getegid()) == (0, 0)


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_what_mail_owner_may_not_write_is_not_written_for_him(folders: tuple[str, str]) -> None:
    owner = Identity(user_identity("nobody").uid, user_identity("nobody").gid)
    spool, data = folders
    os.chown(data, owner.uid, owner.gid)
    secret = Path(spool, "secret")
    secret.write_text("kept")
    secret.chmod(0o600)
    os.link(secret, f"{data}/master.lock")
    with pytest.raises(ConfigError, match=f"^open lock file {data}/master.lock: cannot open file: Permission denied$"):
        take_master_locks(spool, data, owner)
    assert (secret.read_text(), secret.stat().st_uid) == ("kept", 0)
