"""postfix set-permissions: the owner and mode of what this house keeps.

The folders are those of service/spool.py. In the ones that belong to mail_owner, what lies there is given to
mail_owner, too, file by file through an open descriptor: no link is followed, and a file with a second name
(which may be a file from elsewhere) is left alone and named.
"""

import os
import stat
from collections.abc import Callable

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.host.users import Identity, own_identity, user_identity
from posthouse.service import spool

Say = Callable[[str, str], None]
"""A text and its level."""


def set_permissions(configuration: Configuration, say: Say) -> None:
    """Set them all. Raises OSError, ConfigError."""
    if os.geteuid() == 0:
        try:
            identity = user_identity(configuration.value("mail_owner"))
        except KeyError as error:
            raise ConfigError(f"unknown user name: {configuration.value('mail_owner')}") from error
    else:
        identity = own_identity()
    queue, data = configuration.value("queue_directory"), configuration.value("data_directory")
    spool.prepare(queue, data, identity)
    for folder in (os.path.join(queue, "posthouse", "queue"), os.path.join(data, "journal")):
        _give(folder, identity, say)


def _give(folder: str, identity: Identity, say: Say) -> None:
    for place, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            try:
                opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
            except OSError as error:
                say(f"{place}/{name}: {error.strerror}", "warning")
                continue
            try:
                status = os.fstat(opened)
                if (status.st_uid, status.st_gid) == (identity.uid, identity.gid):
                    continue
                if stat.S_ISREG(status.st_mode) and status.st_nlink != 1:
                    say(f"{place}/{name}: has another name: left as it is", "warning")
                    continue
                os.fchown(opened, identity.uid, identity.gid)
            finally:
                os.close(opened)
