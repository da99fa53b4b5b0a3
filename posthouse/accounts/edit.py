"""Changing a passwd-file: posthouse user add, password, remove, list.

The new file is written aside, synced and renamed; owner and mode are kept, and a new file is 0640. Other lines stay
as they are, comments with them. Writers exclude each other by a lock file beside it.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from posthouse.accounts.account import fold_login
from posthouse.accounts.error import EditError
from posthouse.accounts.scheme import make_hash
from posthouse.host.durable import sync_folder, write_all

NEW_MODE = 0o640
"""Hashes are for the server's group, not for everyone."""


def add_user(path: str, login: str, password: str) -> None:
    """Add a row. Raises EditError."""
    name = _login(login)
    row = f"{name}:{_hash(password)}::::::"

    def change(lines: list[str]) -> list[str]:
        if any(_name_of(line) == name for line in lines):
            raise EditError(f"{name} is there already")
        return [*lines, row]

    _edit(path, change, create=True)


def set_password(path: str, login: str, password: str) -> None:
    """Change a row's hash. Raises EditError."""
    name = _login(login)
    stored = _hash(password)

    def change(lines: list[str]) -> list[str]:
        def with_hash(line: str) -> str:
            fields = line.split(":")
            return ":".join([fields[0], stored, *fields[2:]])

        return [with_hash(line) if _name_of(line) == name else line for line in _having(lines, name)]

    _edit(path, change)


def remove_user(path: str, login: str) -> None:
    """Take a row out. Raises EditError."""
    name = _login(login)
    _edit(path, lambda lines: [line for line in _having(lines, name) if _name_of(line) != name])


def list_users(path: str) -> list[str]:
    """The logins, in the file's order; none when there is no file. Raises EditError."""
    try:
        return [name for line in _read(path) if (name := _name_of(line)) is not None]
    except FileNotFoundError:
        return []


def _login(login: str) -> str:
    name = fold_login(login)
    if name is None or name.startswith("#"):
        raise EditError(f"not a login: {login!r}")
    return name


def _hash(password: str) -> str:
    if not password or "\0" in password:
        raise EditError("the password must not be empty")
    return make_hash(password)


def _having(lines: list[str], name: str) -> list[str]:
    if not any(_name_of(line) == name for line in lines):
        raise EditError(f"{name} is not there")
    return lines


def _name_of(line: str) -> str | None:
    if not line.strip() or line.startswith("#"):
        return None
    return fold_login(line.partition(":")[0].strip())


def _read(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EditError(f"{path}: {error.strerror}") from error


@contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _edit(path: str, change: Callable[[list[str]], list[str]], *, create: bool = False) -> None:
    try:
        with _locked(path):
            try:
                before: os.stat_result | None = os.stat(path)
                lines = _read(path)
            except FileNotFoundError:
                if not create:
                    raise EditError(f"{path}: No such file or directory") from None
                before, lines = None, []
            text = "".join(f"{line}\n" for line in change(lines))
            _replace(path, text.encode("utf-8", "surrogateescape"), before)
    except OSError as error:
        raise EditError(f"{path}: {error.strerror}") from error


def _replace(path: str, data: bytes, before: os.stat_result | None) -> None:
    temporary = f"{path}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if before is not None and os.geteuid() == 0:
            os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, NEW_MODE if before is None else before.st_mode & 0o777)
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    sync_folder(os.path.dirname(path) or ".")
