"""Accounts in a text file, as Dovecot's passwd-file.

    login:{SCHEME}hash:uid:gid:gecos:home:shell:extra_fields

All fields after the hash may be missing. uid and gid may be names. Extra fields are name=value words;
userdb_quota_rule=*:storage=1G limits the mailbox, nologin forbids logging in. Empty lines and lines that begin with #
mean nothing; a line that cannot be read is skipped with a warning. The file is read again when it has changed.
"""

import grp
import os
import pwd
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from posthouse.accounts.account import Account, AccountRetry, fold_login
from posthouse.tables.warning import warn

FILE_LIMIT = 64 << 20
"""Octets of a file: a hundred times what a hundred thousand accounts need."""


@dataclass(frozen=True, slots=True)
class PasswdRow:
    """One line."""

    account: Account
    stored: str
    """{SCHEME}hash, or "" when no password fits."""


def parse_passwd(lines: Iterable[str], path: str, warn: Callable[[str], None]) -> dict[str, PasswdRow]:
    """The rows by login. The first of two with one login counts."""
    rows: dict[str, PasswdRow] = {}
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}, line {number}"
        fields = line.split(":", 7)
        login = fold_login(fields[0].strip())
        if login is None:
            warn(f"{where}: bad login name")
            continue
        if login in rows:
            warn(f'{where}: duplicate login: "{login}"')
            continue
        fields += [""] * (8 - len(fields))
        try:
            rows[login] = PasswdRow(_account(login, fields), fields[1])
        except LookupError as error:
            warn(f"{where}: {error.args[0]}")
    return rows


def _account(login: str, fields: list[str]) -> Account:
    extra: dict[str, str] = {}
    for word in fields[7].split():
        name, _, value = word.partition("=")
        extra[name.removeprefix("userdb_")] = value
    uid, gid, home = _user(fields[2]), _group(fields[3]), fields[5]
    if "@" not in login:
        # A system user's row leaves empty what the system knows.
        try:
            entry = pwd.getpwnam(login)
        except (KeyError, ValueError):
            pass
        else:
            uid = entry.pw_uid if uid is None else uid
            gid = entry.pw_gid if gid is None else gid
            home = home or entry.pw_dir
    return Account(login, uid, gid, home, extra)


def _user(text: str) -> int | None:
    if not text or text.isdecimal():
        return int(text) if text else None
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError as error:
        raise LookupError(f'unknown user: "{text}"') from error


def _group(text: str) -> int | None:
    if not text or text.isdecimal():
        return int(text) if text else None
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError as error:
        raise LookupError(f'unknown group: "{text}"') from error


class PasswdFile:
    """One file, read when first asked and when it changed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._rows: dict[str, PasswdRow] = {}
        self._seen: tuple[int, int, int] | None = None

    def rows(self) -> dict[str, PasswdRow]:
        """Every row by login. A file that is not there has none. Raises AccountRetry when it cannot be read."""
        try:
            status = os.stat(self.path)
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                if status.st_size > FILE_LIMIT:
                    raise AccountRetry(f"passwd-file {self.path}: file too large")
                with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                    self._rows = parse_passwd(file, self.path, warn)
                self._seen = seen
        except FileNotFoundError:
            self._rows, self._seen = {}, None
        except OSError as error:
            raise AccountRetry(f"passwd-file {self.path}: {error.strerror}") from error
        return self._rows
