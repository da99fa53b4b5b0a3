""":include: files of aliases: with whose rights they are opened, and with whose their commands run.

A file of root's named in an alias file of root's is opened by the keeper's parent, as root, and handed to a child with
the rights of default_privs; any other is opened with its own owner's rights, which are also those of its commands and
files. What cannot be opened is a mistake in the configuration: the mail bounces, as in Postfix.

Standards: local(8), "DELIVERY RIGHTS"; aliases(5).
"""

import os
import pwd
import stat

from posthouse.host.log import ProcessLog
from posthouse.host.users import Identity
from posthouse.transport.hands import Report, bounced
from posthouse.transport.local.expansion import Kind, parse_expansion

MISCONFIGURED = ("5.3.5", "mail system configuration error")


def include_paths(value: str) -> list[str]:
    """The include files that an alias names, in its order."""
    return [item.value for item in parse_expansion(value) if item.kind is Kind.INCLUDE]


def include_owner(path: str, log: ProcessLog) -> int | Report:
    """The uid that owns it; a Report when it cannot be used."""
    try:
        found = os.stat(path)
    except OSError as error:
        log.warning(f"unable to lookup :include: file {path}: {error.strerror}")
        return bounced(*MISCONFIGURED)
    if not stat.S_ISREG(found.st_mode):
        log.warning(f":include: file {path} is not a regular file")
        return bounced(*MISCONFIGURED)
    return found.st_uid


def owner_identity(uid: int, path: str, log: ProcessLog) -> Identity | Report:
    """The rights of a file's owner."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        log.warning(f"cannot find username for uid {uid}, the owner of {path}")
        return bounced(*MISCONFIGURED)
    return Identity(entry.pw_uid, entry.pw_gid)


def open_include(path: str, log: ProcessLog) -> int | Report:
    """A descriptor to read root's from."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        log.warning(f"cannot open include file {path}: {error.strerror}")
        return bounced(*MISCONFIGURED)
    if os.fstat(descriptor).st_uid != 0:  # another file than was looked at
        os.close(descriptor)
        return bounced(*MISCONFIGURED)
    return descriptor
