"""The spool's folders: root gives nothing away that a taken-over mail worker points it at."""

import errno
import os
from pathlib import Path

import pytest

from posthouse.host.users import Identity, own_identity
from posthouse.service import spool

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")

WORKER = Identity(65534, 65534)


@as_root
def test_a_link_in_place_of_a_folder_is_not_given_to_mail_owner(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir(0o755)
    data = tmp_path / "data"
    data.mkdir()
    (data / "journal").symlink_to(precious)
    with pytest.raises(OSError):
        spool.prepare(str(tmp_path / "spool"), str(data), WORKER)
    assert precious.stat().st_uid == 0
    assert precious.stat().st_mode & 0o777 == 0o755


def test_trouble_with_a_folder_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(descriptor: int, mode: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "fchmod", read_only)
    with pytest.raises(OSError, match=f"{tmp_path}/spool/posthouse"):
        spool.prepare(str(tmp_path / "spool"), str(tmp_path), own_identity())


@as_root
def test_where_root_binds_sockets_only_root_may_rename(tmp_path: Path) -> None:
    house = tmp_path / "spool" / "posthouse"
    house.mkdir(parents=True)
    os.chown(house, WORKER.uid, WORKER.gid)
    spool.prepare(str(tmp_path / "spool"), str(tmp_path / "data"), WORKER)
    assert house.stat().st_uid == 0
    assert (house / "private").stat().st_uid == 0
    assert (house / "queue").stat().st_uid == WORKER.uid


@as_root
def test_mail_owner_alone_may_ask_the_keeper(tmp_path: Path) -> None:
    spool.prepare(str(tmp_path), str(tmp_path / "data"), WORKER)
    bound = spool.bind_sockets(str(tmp_path), WORKER)
    try:
        path = Path(spool.socket_path(str(tmp_path), "keeper"))
        assert path.stat().st_uid == WORKER.uid
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o711
    finally:
        for listening in bound.values():
            listening.close()


@as_root
def test_a_store_elsewhere_is_made_for_mail_owner_and_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    for _ in range(2):
        spool.prepare_store(str(tmp_path / "srv" / "store"), data, WORKER)
    assert (tmp_path / "srv" / "store").stat().st_uid == WORKER.uid
    assert (tmp_path / "srv" / "store").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "srv").stat().st_uid == 0
    spool.prepare_store(str(tmp_path / "srv"), data, WORKER)
    assert (tmp_path / "srv").stat().st_uid == 0
