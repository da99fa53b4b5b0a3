"""Where mail(1) finds a user's mail: a file, or the store behind the mail system's local socket.

The configuration says so where the user may read it; where not, mail is asked for at the socket
when there is none in the spool.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.read import configuration_directory, read_configuration

SOCKET = "posthouse/mailbox"
"""The socket, beneath queue_directory."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the mail of a user is."""

    path: Path
    """The mbox file or the Maildir; where the mail is in the store, what old mail might lie in."""
    home: Path
    socket: str = ""
    """Where the store can be read; "" when the mail is in `path`."""

    @property
    def has_file(self) -> bool:
        """Whether there is something at `path`."""
        return os.path.exists(self.path) and not (os.path.isfile(self.path) and os.path.getsize(self.path) == 0)


def place_of(user: str) -> Place:
    """The mailbox of a user: $MAIL for oneself when it names a place of one's own, else where local delivery puts it.
    Raises KeyError: no such user."""
    entry = pwd.getpwnam(user)
    home = Path(entry.pw_dir)
    try:
        configuration = read_configuration(configuration_directory())
        home_mailbox = configuration.value("home_mailbox")
        spool = configuration.value("mail_spool_directory")
        socket = os.path.join(configuration.value("queue_directory"), SOCKET)
    except ConfigError:
        configuration, home_mailbox, spool, socket = None, "", "/var/mail", ""
    own = os.environ.get("MAIL") if entry.pw_uid == os.getuid() else None
    # A login sets $MAIL to the spool file without asking whether mail goes there.
    if own and Path(own) not in {Path(folder) / user for folder in (spool, "/var/mail", "/var/spool/mail")}:
        return Place(Path(own), home)
    place = Place(_file(home, home_mailbox, Path(own) if own else Path(spool) / user), home)
    if configuration is None or entry.pw_uid == 0:
        return place
    stored = in_store(configuration, user)
    if stored or (stored is None and not place.has_file and os.path.exists(socket)):
        return Place(place.path, home, socket)
    return place


def _file(home: Path, home_mailbox: str, spool: Path) -> Path:
    if home_mailbox:
        return home / home_mailbox
    # os.path and not Path: a home may be closed to us, and then there is nothing in it.
    return home / "Maildir" if not os.path.exists(spool) and os.path.isdir(home / "Maildir" / "cur") else spool


def in_store(configuration: Configuration, user: str) -> bool | None:
    """Whether local delivery, or the take-over of spool files, brings this user's mail into the store; None when the
    tables that say so are not ours to read."""
    import asyncio

    from posthouse.config.master_cf import read_master_cf
    from posthouse.service.listeners import ACCESS_COMMANDS

    try:
        services = read_master_cf(os.path.join(configuration.directory, "master.cf"))
        commands = {service.command for service in services}
        moving = bool(commands & {*ACCESS_COMMANDS, "store"})
        if "store" not in commands and not (moving and configuration.value("mailbox_spool_takeover") == "move"):
            return False
        from posthouse.host.log import MemorySink, ProcessLog
        from posthouse.routing.router import Router
        from posthouse.service.mail_place import MailPlaces
        from posthouse.tables.table import TableRetry

        router = Router.open(configuration, ProcessLog(MemorySink(), "mail"))
        try:
            found = asyncio.run(MailPlaces(configuration, services, router).settings_of(user))
        except TableRetry:
            return None
    except (ConfigError, OSError):
        return None
    if found is None:
        return True
    place = found.home_mailbox or found.mail_spool_directory
    return moving and found.mailbox_spool_takeover == "move" and not place.endswith("/")
