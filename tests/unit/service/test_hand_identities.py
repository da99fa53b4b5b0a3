"""With whose rights an errand is done: the user's, the alias owner's, default_privs', and never root's."""

import os
import pwd
from pathlib import Path

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import read_master_cf
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.host.users import Identity
from posthouse.service import hands
from posthouse.service.hands import Workbench
from posthouse.transport.hands import Errand, Report
from posthouse.transport.local.people import Person

ALICE = Person("alice", 4001, 4002, "/home/alice")
ROOT = Person("root", 0, 0, "/")
NOBODY = pwd.getpwnam("nobody")

MASTER = """\
local unix - n n - - local
shared unix - n n - - local -o mail_spool_directory={spool}
virtual unix - n n - - virtual
script unix - n n - - pipe flags=R user=nobody argv=/bin/true
"""


class FakePeople:
    """Two logins."""

    def find(self, login: str) -> Person | None:
        return {"alice": ALICE, "root": ROOT}.get(login)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.fixture
def aliases(tmp_path: Path) -> Path:
    path = tmp_path / "aliases"
    path.write_text('ops "|/bin/true"\n')
    return path


@pytest.fixture
def bench(tmp_path: Path, spool: Path, aliases: Path) -> Workbench:
    (tmp_path / "master.cf").write_text(MASTER.format(spool=spool))
    values = {
        "mail_spool_directory": str(spool),
        "alias_maps": f"texthash:{aliases}",
        "default_privs": "nobody",
        "virtual_mailbox_maps": "inline:{ box@x.test=box }",
        "virtual_uid_maps": "static:5001",
        "virtual_gid_maps": "static:5002",
        "virtual_mailbox_base": str(tmp_path),
    }
    services = read_master_cf(str(tmp_path / "master.cf"))
    log = ProcessLog(MemorySink(), "postfix/keeper")
    return Workbench(Configuration(str(tmp_path), values), services, FakePeople(), log)


def errand(operation: str, *names: str, service: str = "local") -> Errand:
    return Errand(operation, service, names, "4F1", "s@x.test", "r@x.test", "", 0.0, 20)


def status(found: Identity | Report) -> str:
    assert isinstance(found, Report), found
    (result,) = found.results
    return result.dsn.status


@pytest.fixture
def lists(tmp_path: Path, aliases: Path) -> Path:
    """Include files of an alias: two, one that is no file, and one that is not there."""
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "one").write_text("joe@x.test\n# nobody\n ann@x.test, |/bin/true\n")
    (folder / "two").write_text("eve@x.test")
    included = ", ".join(f":include:{folder / name}" for name in ("one", "two", ".", "gone"))
    aliases.write_text(f"list x@x.test, {included}\n")
    return folder


def perform(bench: Workbench, wanted: Errand, opened: int | None) -> Report:
    with open(os.devnull, "rb") as content:
        return bench.perform(wanted, content.fileno(), Identity(0, 0), opened)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root's files")
def test_roots_include_file_of_roots_alias_is_opened_as_root_for_default_privs(lists: Path, bench: Workbench) -> None:
    (lists / "one").chmod(0o600)
    wanted = errand("include", "list", "0")
    assert bench.identity(wanted) == Identity(NOBODY.pw_uid, NOBODY.pw_gid)
    opened = bench.opened(wanted)
    assert isinstance(opened, int)
    report = perform(bench, wanted, opened)
    os.close(opened)
    assert report.forwards == ("joe@x.test", "ann@x.test")
    assert [(r.fate.value, r.dsn.reason) for r in report.results] == [("bounced", "mail to command is restricted")]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root's files")
def test_an_include_file_of_somebody_is_read_with_his_rights(lists: Path, bench: Workbench) -> None:
    os.chown(lists / "two", NOBODY.pw_uid, NOBODY.pw_gid)
    wanted = errand("include", "list", "1")
    assert bench.identity(wanted) == Identity(NOBODY.pw_uid, NOBODY.pw_gid)
    assert bench.opened(wanted) is None
    assert perform(bench, wanted, None).forwards == ("eve@x.test",)


@pytest.mark.parametrize(
    ("number", "code"), [("2", "5.3.5"), ("3", "5.3.5"), ("4", "4.3.0"), ("x", "4.3.0"), ("", "4.3.0")]
)
def test_an_include_file_that_cannot_be_is_a_mistake_of_the_configuration(
    lists: Path, bench: Workbench, number: str, code: str
) -> None:
    assert status(bench.identity(errand("include", "list", number))) == code


def test_a_user_gets_mail_as_himself(bench: Workbench) -> None:
    assert bench.identity(errand("user", "alice")) == Identity(4001, 4002)


def test_an_unknown_user_is_deferred(bench: Workbench) -> None:
    assert status(bench.identity(errand("user", "mallory"))) == "4.3.0"


def test_root_gets_mail_as_default_privs(bench: Workbench) -> None:
    assert bench.identity(errand("user", "root")) == Identity(NOBODY.pw_uid, NOBODY.pw_gid)


def test_an_alias_of_roots_file_acts_as_default_privs(bench: Workbench, aliases: Path) -> None:
    if os.geteuid() == 0:
        os.chown(aliases, 0, 0)
        assert bench.identity(errand("alias", "ops")) == Identity(NOBODY.pw_uid, NOBODY.pw_gid)


def test_an_alias_acts_as_its_files_owner(bench: Workbench, aliases: Path) -> None:
    if os.geteuid() == 0:
        os.chown(aliases, NOBODY.pw_uid, NOBODY.pw_gid)
    mine = pwd.getpwuid(os.stat(aliases).st_uid)
    assert bench.identity(errand("alias", "ops")) == Identity(mine.pw_uid, mine.pw_gid)


def test_an_alias_that_is_gone_is_deferred(bench: Workbench) -> None:
    assert status(bench.identity(errand("alias", "no-such-alias"))) == "4.3.0"


def test_a_spool_that_all_may_write_needs_no_group(bench: Workbench, spool: Path) -> None:
    spool.chmod(0o1707)
    assert bench.identity(errand("spool", "alice")) == Identity(4001, 4002)


def test_a_spool_of_a_group_gives_the_user_that_group(bench: Workbench, spool: Path) -> None:
    spool.chmod(0o2775)
    group = spool.stat().st_gid
    assert bench.identity(errand("spool", "alice")) == Identity(4001, 4002, (group,))


def test_a_spool_that_only_root_may_write_gets_the_users_file(
    bench: Workbench, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(hands.os, "geteuid", lambda: 0)
    monkeypatch.setattr(hands.os, "fchown", lambda _, uid, gid: owners.append((uid, gid)))
    spool.chmod(0o755)
    assert bench.identity(errand("spool", "alice")) == Identity(4001, 4002)
    assert (spool / "alice").stat().st_mode & 0o777 == 0o600
    assert owners == [(4001, 4002)]


def test_a_link_in_the_spool_is_not_followed(
    bench: Workbench, spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands.os, "geteuid", lambda: 0)
    monkeypatch.setattr(hands.os, "fchown", lambda *_: pytest.fail("a file that was there is given to nobody"))
    spool.chmod(0o755)
    (spool / "alice").symlink_to(tmp_path / "elsewhere")
    bench.identity(errand("spool", "alice"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_virtual_mailbox_has_the_tables_owner(bench: Workbench) -> None:
    found = bench.identity(errand("virtual", "box@x.test", service="virtual"))
    assert isinstance(found, Identity)
    assert (found.uid, found.gid) == (5001, 5002)


def test_a_pipe_runs_as_the_user_that_master_cf_names(bench: Workbench) -> None:
    found = bench.identity(errand("pipe", "a@x.test", service="script"))
    assert isinstance(found, Identity)
    assert found.uid == NOBODY.pw_uid


@pytest.mark.parametrize(
    "wrong",
    [
        errand("user", "alice", service="nowhere"),
        errand("user", "alice", "root"),
        errand("user"),
        errand("shell", "alice"),
        errand("pipe", "a@x.test", service="local"),
        errand("virtual", "a@x.test", service="local"),
    ],
)
def test_an_errand_that_nobody_made_is_not_done(bench: Workbench, wrong: Errand) -> None:
    assert isinstance(bench.identity(wrong), Report)


def test_a_session_is_the_users_with_the_spools_group(bench: Workbench, spool: Path) -> None:
    spool.chmod(0o2775)
    assert bench.session_identity("alice") == Identity(4001, 4002, (spool.stat().st_gid,))


def test_root_has_no_session(bench: Workbench) -> None:
    assert bench.session_identity("root") is None
    assert bench.session_identity("mallory") is None
