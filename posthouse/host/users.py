"""Users and groups of this machine, and becoming one of them for good."""

import grp
import os
import pwd
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """Supplementary groups."""


def user_identity(name: str) -> Identity:
    """The identity of a login name, with its groups. Raises KeyError."""
    entry = pwd.getpwnam(name)
    return Identity(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)))


def group_id(name: str) -> int:
    """The number of a group. Raises KeyError."""
    return grp.getgrnam(name).gr_gid


def own_identity() -> Identity:
    """What this process runs as."""
    return Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))


def become(identity: Identity) -> None:
    """Drop to an identity for good: real, effective and saved ids. Does nothing when it is ours and we are not root.

    Raises PermissionError when this process may not, AssertionError when root could be had back.
    """
    if os.geteuid() != 0:
        if os.geteuid() == identity.uid:
            return
        raise PermissionError(f"only root can become uid {identity.uid}")
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if identity.uid != 0:
        try:
            os.setuid(0)
        except PermissionError:
            return
        raise AssertionError("root came back after setresuid")
