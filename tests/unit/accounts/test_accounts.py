"""Databases in order, what a login may be, editing."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.accounts.account import Account, AccountRetry, fold_login
from posthouse.accounts.accounts import CACHE_SECONDS, Accounts, PamDatabase, PasswdFileDatabase
from posthouse.accounts.edit import add_user, list_users, remove_user, set_password
from posthouse.accounts.error import EditError
from posthouse.accounts.passwd_file import PasswdFile, parse_passwd
from posthouse.accounts.scheme import verify


class FakePam:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def check(self, login: str, password: str) -> bool:
        self.asked.append((login, password))
        return password == "pam"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def database(folder: Path, text: str) -> PasswdFileDatabase:
    path = folder / "accounts"
    path.write_text(text)
    return PasswdFileDatabase(str(path))


async def test_the_first_database_that_knows_a_login_decides(tmp_path: Path) -> None:
    pam = FakePam()
    accounts = Accounts([database(tmp_path, "nobody:{PLAIN}file\n"), PamDatabase(pam)])
    assert await accounts.authenticate("nobody", "pam") is None
    found = await accounts.authenticate("NOBODY", "file")
    assert found is not None
    assert found.login == "nobody"
    assert found.is_system
    assert pam.asked == []


async def test_system_users_are_asked_of_pam_but_never_root(tmp_path: Path) -> None:
    pam = FakePam()
    accounts = Accounts([database(tmp_path, ""), PamDatabase(pam)])
    found = await accounts.authenticate("daemon", "pam")
    assert found is not None
    assert (found.login, found.uid) == ("daemon", 1)
    assert await accounts.authenticate("daemon", "wrong") is None
    assert await accounts.authenticate("root", "pam") is None
    assert await accounts.authenticate("nosuchuser", "pam") is None
    assert pam.asked == [("daemon", "pam"), ("daemon", "wrong")]


async def test_without_a_keeper_no_password_of_a_system_user_fits(tmp_path: Path) -> None:
    accounts = Accounts([PamDatabase(None)])
    assert await accounts.authenticate("daemon", "pam") is None
    assert await accounts.find("daemon") is not None


async def test_a_success_is_remembered_briefly_and_not_past_a_new_password(tmp_path: Path) -> None:
    clock, pam = Clock(), FakePam()
    accounts = Accounts([PamDatabase(pam)], clock)
    assert await accounts.authenticate("daemon", "pam")
    assert await accounts.authenticate("daemon", "pam")
    assert len(pam.asked) == 1
    clock.now = CACHE_SECONDS
    assert await accounts.authenticate("daemon", "pam")
    assert len(pam.asked) == 2
    file = database(tmp_path, "bob@x.example:{PLAIN}one\n")
    accounts = Accounts([file], clock)
    assert await accounts.authenticate("bob@x.example", "one")
    (tmp_path / "accounts").write_text("bob@x.example:{PLAIN}three\n")
    assert await accounts.authenticate("bob@x.example", "one") is None
    assert await accounts.authenticate("bob@x.example", "three")


async def test_nologin_forbids(tmp_path: Path) -> None:
    accounts = Accounts([database(tmp_path, "bob@x:{PLAIN}a::::::nologin\n")])
    assert await accounts.authenticate("bob@x", "a") is None
    assert await accounts.secret("bob@x") is None
    assert await accounts.find("bob@x") is not None


async def test_a_row_without_a_hash_lets_nobody_in(tmp_path: Path) -> None:
    accounts = Accounts([database(tmp_path, "bob@x\namy@x:\n")])
    assert await accounts.authenticate("bob@x", "a") is None
    assert await accounts.authenticate("amy@x", "") is None


def test_passwords_are_plain_only_where_all_of_them_are(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    database = PasswdFileDatabase(str(path))
    accounts = Accounts([database])
    assert not accounts.plain()
    path.write_text("a@x:{PLAIN}word\nb@x:\nc@x:{CLEARTEXT}other\n")
    assert accounts.plain()
    assert not Accounts([database, PamDatabase(None)]).plain()
    path.write_text("a@x:{PLAIN}word\nb@x:{SHA512-CRYPT}$6$salt$hash-of-it\n")
    assert not accounts.plain()
    assert not Accounts([]).plain()


async def test_secrets_are_given_only_where_they_are_plain(tmp_path: Path) -> None:
    accounts = Accounts([database(tmp_path, "a@x:{PLAIN}word\nb@x:{SSHA}OTX3koChm7CuFR7DntV5YDvLspvt6nIL\n")])
    assert await accounts.secret("a@x") == "word"
    assert await accounts.secret("b@x") is None
    assert await accounts.secret("c@x") is None


async def test_a_file_that_cannot_be_read_is_told_apart_from_an_unknown_login(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(AccountRetry, match="Is a directory"):
        await Accounts([PasswdFileDatabase(str(tmp_path / "folder"))]).find("a")
    assert await Accounts([PasswdFileDatabase(str(tmp_path / "missing"))]).find("a") is None


@pytest.mark.parametrize("login", ["", ".", "..", "a/b", "a\0b", "a b", "a:b", "x" * 256, "a\nb", "\x7f", "\u202ea"])
def test_what_cannot_be_a_login(login: str) -> None:
    assert fold_login(login) is None


def test_rows() -> None:
    warnings: list[str] = []
    text = [
        "# comment\n",
        "\n",
        "Bob@X.example:{PLAIN}a:5000:5001::/srv/bob::userdb_quota_rule=*:storage=2G nologin\n",
        "bob@x.example:{PLAIN}b\n",
        "../x:{PLAIN}b\n",
        "carol:{PLAIN}c:nosuchuser\n",
        "daemon:{PLAIN}c\n",
    ]
    rows = parse_passwd(text, "/etc/accounts", warnings.append)
    assert rows["bob@x.example"].account == Account(
        "bob@x.example", 5000, 5001, "/srv/bob", {"quota_rule": "*:storage=2G", "nologin": ""}
    )
    assert rows["bob@x.example"].account.quota_bytes == 2 << 30
    assert not rows["bob@x.example"].account.is_system
    assert rows["daemon"].account.uid == 1
    assert warnings == [
        '/etc/accounts, line 4: duplicate login: "bob@x.example"',
        "/etc/accounts, line 5: bad login name",
        '/etc/accounts, line 6: unknown user: "nosuchuser"',
    ]


@pytest.mark.parametrize(
    ("rule", "octets"),
    [
        ("*:storage=10M", 10 << 20),
        ("*:storage=100", 102400),
        ("*:bytes=5B", 5),
        ("*:messages=3:storage=1K", 1024),
        ("*:storage=10%", None),
        ("", None),
        ("Trash:storage=+100M", None),
    ],
)
def test_quota_rules(rule: str, octets: int | None) -> None:
    assert octets == Account("a@x", extra={"quota_rule": rule}).quota_bytes


def test_editing_keeps_other_lines_owner_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    add_user(str(path), "Bob@x.example", "one")
    assert path.stat().st_mode & 0o777 == 0o640
    path.write_text("# staff\n" + path.read_text() + "amy@x.example:{PLAIN}z:1:2::/h::a=b\n")
    os.chmod(path, 0o600)
    set_password(str(path), "AMY@x.example", "two")
    assert path.stat().st_mode & 0o777 == 0o600
    rows = PasswdFile(str(path)).rows()
    assert verify("one", rows["bob@x.example"].stored)
    assert verify("two", rows["amy@x.example"].stored)
    assert rows["amy@x.example"].account.home == "/h"
    assert list_users(str(path)) == ["bob@x.example", "amy@x.example"]
    remove_user(str(path), "bob@x.example")
    assert list_users(str(path)) == ["amy@x.example"]
    assert path.read_text().startswith("# staff\n")


def test_editing_refuses_in_plain_words(tmp_path: Path) -> None:
    path = str(tmp_path / "accounts")
    assert list_users(path) == []
    with pytest.raises(EditError, match="No such file"):
        remove_user(path, "a@x")
    add_user(path, "a@x", "p")
    with pytest.raises(EditError, match="a@x is there already"):
        add_user(path, "A@x", "p")
    with pytest.raises(EditError, match="b@x is not there"):
        set_password(path, "b@x", "p")
    with pytest.raises(EditError, match="the password must not be empty"):
        set_password(path, "a@x", "")
    with pytest.raises(EditError, match="not a login"):
        add_user(path, "a:b", "p")


@given(st.text(max_size=120))
def test_any_text_is_rows_or_warnings(text: str) -> None:
    said: list[str] = []
    for login, row in parse_passwd(text.split("\n"), "f", said.append).items():
        assert fold_login(login) == login == row.account.login
        assert row.account.quota_bytes is None or row.account.quota_bytes >= 0
