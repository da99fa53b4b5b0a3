"""Whom local delivery knows: the account databases' logins with a uid, then the system's users."""

import os
import pwd
from pathlib import Path

import pytest

from posthouse.config.configuration import Configuration
from posthouse.service.people import open_people
from posthouse.transport.local.people import People, Person

ME = pwd.getpwuid(os.getuid())


@pytest.fixture
def people(tmp_path: Path) -> People:
    accounts = tmp_path / "accounts"
    accounts.write_text("zed:{PLAIN}x:4321:4322::/srv/zed\nbox@x.test:{PLAIN}x\n")
    accounts.chmod(0o600)
    return open_people(Configuration(str(tmp_path), {"account_databases": f"passwd-file:{accounts}"}))


def test_a_login_of_the_databases_has_its_row(people: People) -> None:
    assert people.find("zed") == Person("zed", 4321, 4322, "/srv/zed")


def test_a_user_of_the_system_is_known(people: People) -> None:
    found = people.find(ME.pw_name)
    assert found is not None
    assert (found.uid, found.home) == (ME.pw_uid, ME.pw_dir)


@pytest.mark.parametrize("login", ["box@x.test", "no-such-user", "", "a\0b", "\udcff"])
def test_others_are_nobody_here(people: People, login: str) -> None:
    assert people.find(login) is None
