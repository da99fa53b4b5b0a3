"""Tables that are made of next to nothing: static, fail, environ, nis, unix:passwd.byname, unix:group.byname.

Standards: DATABASE_README.
"""

import grp
import os
import pwd

from posthouse.tables.file_values import ReadValue, as_written
from posthouse.tables.fold import fold_key
from posthouse.tables.table import Row, TableError, TableRetry
from posthouse.tables.words import brace_fault, strip_braces


class StaticTable:
    """static:value finds the same for every key; static:{ value with blanks } too."""

    __slots__ = ("name", "value", "whole_key")

    def __init__(self, name: str, text: str, read_value: ReadValue = as_written) -> None:
        """Raises TableError, BadFiles."""
        self.name = name
        self.whole_key = True
        self.value = text
        if text.startswith("{"):
            inside = strip_braces(text)
            if inside is None:
                raise TableError(f"bad static:name syntax: {brace_fault(text)}")
            self.value = inside
        self.value = read_value(self.value)

    async def lookup(self, key: str) -> Row | None:
        """Always found."""
        return Row(self.value, self.name, key)

    def close(self) -> None:
        """Nothing is held open."""


class FailTable:
    """fail: cannot ever be asked: for tests of what happens then."""

    __slots__ = ("name", "whole_key")

    def __init__(self, name: str) -> None:
        self.name = name
        self.whole_key = False

    async def lookup(self, key: str) -> Row | None:
        """Always TableRetry."""
        raise TableRetry(f"table {self.name}: query error: Application error")

    def close(self) -> None:
        """Nothing is held open."""


class EmptyTable:
    """Finds nothing: nis without a domain, internal when it is new."""

    __slots__ = ("name", "whole_key")

    def __init__(self, name: str) -> None:
        self.name = name
        self.whole_key = False

    async def lookup(self, key: str) -> Row | None:
        """Never found."""
        return None

    def close(self) -> None:
        """Nothing is held open."""


class EnvironTable:
    """environ: the process's own environment."""

    __slots__ = ("_fold", "_unicode", "name", "whole_key")

    def __init__(self, name: str, *, fold: bool = True, unicode: bool = True) -> None:
        self.name = name
        self.whole_key = False
        self._fold = fold
        self._unicode = unicode

    async def lookup(self, key: str) -> Row | None:
        """The variable's value."""
        if self._fold:
            key = fold_key(key, self._unicode)
        value = os.environ.get(key)
        return None if value is None else Row(value, self.name, key)

    def close(self) -> None:
        """Nothing is held open."""


class UnixTable:
    """unix:passwd.byname and unix:group.byname: the system's users and groups as passwd(5) and group(5) lines."""

    __slots__ = ("_fold", "_groups", "_unicode", "name", "whole_key")

    def __init__(self, name: str, which: str, *, fold: bool = True, unicode: bool = True) -> None:
        if which not in ("passwd.byname", "group.byname"):
            raise TableError(f"unknown table: {name}")
        self.name = name
        self.whole_key = False
        self._groups = which == "group.byname"
        self._fold = fold
        self._unicode = unicode

    async def lookup(self, key: str) -> Row | None:
        """The user's or group's line, without the end."""
        if self._fold:
            key = fold_key(key, self._unicode)
        try:
            if self._groups:
                g = grp.getgrnam(key)
                value = f"{g.gr_name}:{g.gr_passwd}:{g.gr_gid}:{','.join(g.gr_mem)}"
            else:
                p = pwd.getpwnam(key)
                value = ":".join(
                    map(str, (p.pw_name, p.pw_passwd, p.pw_uid, p.pw_gid, p.pw_gecos, p.pw_dir, p.pw_shell))
                )
        except (KeyError, ValueError):
            return None
        except OSError as error:
            raise TableRetry(f"table {self.name}: query error: {error.strerror}") from error
        return Row(value, self.name, key)

    def close(self) -> None:
        """Nothing is held open."""
