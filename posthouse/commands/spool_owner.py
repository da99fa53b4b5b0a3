"""Whose the queues are while messages go from one system to the other: the owner, who runs, who holds the lock."""

import os

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.host.locks import FileLock
from posthouse.host.users import Identity, own_identity, user_identity
from posthouse.queue.postfix_spool import PostfixSpool


class CannotImport(Exception):
    """Nothing was done; the text says why."""


def owner_of_queue(configuration: Configuration) -> Identity:
    """Who owns the shards: mail_owner where we are root. Raises ConfigError."""
    if os.geteuid() != 0:
        return own_identity()
    owner = configuration.value("mail_owner")
    try:
        return user_identity(owner)
    except KeyError:
        raise ConfigError(f"parameter mail_owner: unknown user name value: {owner}") from None


def ours_runs(queue_directory: str) -> bool:
    """Whether our own system serves this queue_directory."""
    from posthouse.commands.queue_access import SystemDown, connect_all

    try:
        for connection in connect_all(queue_directory):
            connection.close()
    except SystemDown:
        return False
    return True


def lock_spool(spool: str, queue_directory: str) -> FileLock | None:
    """Keep Postfix away; None where our own running system does that. Raises CannotImport."""
    opened = PostfixSpool(spool)
    try:
        own = os.path.realpath(spool) == os.path.realpath(queue_directory)
        try:
            lock = opened.lock()
        except FileNotFoundError:
            return None  # a copy without a pid folder: nobody runs on it
        if lock is None and not (own and ours_runs(queue_directory)):
            raise CannotImport(f"Postfix runs on {spool}: stop it first (postfix stop)")
        return lock
    finally:
        opened.close()
