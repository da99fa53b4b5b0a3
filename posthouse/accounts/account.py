"""An account: who logs in, and as whom their mail is kept.

A login is a system user's name, whose mail may lie in the system's places, or a whole address, whose mail lies in
the native store.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

LOGIN_LIMIT = 255
"""Characters of a login: more is no login, and names of files have this limit."""

_BAD = re.compile(r"[\x00-\x20/:\x7f]")
_STORAGE = re.compile(r"\*:(?:.*:)?(?:storage|bytes)=(\d+)([BKMGT%]?)", re.IGNORECASE)
_UNITS = {"": 1024, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
"""Dovecot counts storage= without a unit in kilobytes."""


class AccountRetry(Exception):
    """It could not be looked up now: try later. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who may log in."""

    login: str
    """In lower case: the account's one name."""
    uid: int | None = None
    """None: no user of this machine."""
    gid: int | None = None
    home: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Extra fields of the row, without the prefix userdb_."""

    @property
    def is_system(self) -> bool:
        """Whether it is a user of this machine; else its mail is in the native store."""
        return self.uid is not None and "@" not in self.login

    @property
    def quota_bytes(self) -> int | None:
        """quota_rule=*:storage=1G as bytes; None without one."""
        match = _STORAGE.match(self.extra.get("quota_rule", ""))
        if match is None or match[2] == "%":
            return None
        return int(match[1]) * _UNITS[match[2].upper()]


def fold_login(login: str) -> str | None:
    """The login as a key: lower case. None for what cannot be one (it names files, so no slash, no leading dot)."""
    if not login or len(login) > LOGIN_LIMIT or login.startswith(".") or _BAD.search(login) or not login.isprintable():
        return None
    return login.lower()
