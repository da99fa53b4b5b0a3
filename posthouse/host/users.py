"""Users and groups of this machine, and becoming one of them for good."""

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """Make and change files as another user, and be root again behind it. Does nothing where we are not root.

    For commands with one thread: root's own rights wait in the saved ids, so this protects from links and from wrong
    owners, not from code that wants root back.
    """
    if os.geteuid() != 0 or identity.uid == 0:
        yield
        return
    groups = os.getgroups()
    gid = os.getegid()
    os.setgroups(identity.groups)
    os.setegid(identity.gid)
    os.seteuid(identity.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)
