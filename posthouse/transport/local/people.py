"""Whom local delivery knows: logins with uid, gid and home."""

import pwd
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Person:
    """One login that gets mail on this machine."""

    login: str
    uid: int
    gid: int
    home: str
    shell: str = ""


class People(Protocol):
    """Finds logins. Blocks: call in a thread or where blocking is fine."""

    def find(self, login: str) -> Person | None:
        """The login, or None. Raises OSError when the databases cannot be asked."""


class SystemPeople:
    """The users of the system."""

    def find(self, login: str) -> Person | None:
        """The login, or None."""
        try:
            entry = pwd.getpwnam(login)
        except (KeyError, ValueError, UnicodeEncodeError):
            return None
        return Person(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)
