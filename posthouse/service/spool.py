"""The folders and local sockets of an instance.

Under queue_directory: pid/ (root), and posthouse/ with

* queue/     the shards, 0700, mail_owner
* maildrop/  1733, mail_owner: anybody may leave mail, nobody may list or take another's
* intake     the socket that `sendmail` hands mail to, 0666
* mailbox    the socket where `mail` reads the mail of its caller (SO_PEERCRED), 0666; there while access workers are
* control.N  a socket of the queue tools for each mail worker, 0666 (the caller is known by SO_PEERCRED)
* private/   0711: keeper's socket, 0600, mail_owner

Root chmods and chowns names only in folders that are root's, and follows no link: mail_owner, whose
processes read the network, could point either at any file.
"""

import os
import socket

from posthouse.host.users import Identity, own_identity
from posthouse.service.listeners import Endpoint, bind

SOCKETS = {"intake": 0o666, "keeper": 0o600}

MAILBOX = "mailbox"


def socket_path(queue_directory: str, name: str) -> str:
    """Where a local socket lies."""
    return os.path.join(queue_directory, "posthouse", "private" if name == "keeper" else "", name)


def _folder(path: str, mode: int, identity: Identity) -> None:
    """Make a folder, or give an existing one the owner and mode it must have."""
    os.makedirs(path, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.geteuid() == 0:
            os.fchown(descriptor, identity.uid, identity.gid)
        if os.geteuid() in (0, os.fstat(descriptor).st_uid):
            os.fchmod(descriptor, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error  # calls by descriptor name no file
    finally:
        os.close(descriptor)


def prepare(queue_directory: str, data_directory: str, identity: Identity) -> None:
    """Make what is missing. Raises OSError."""
    os.makedirs(queue_directory, exist_ok=True)
    if not os.path.isdir(data_directory):
        _folder(data_directory, 0o700, identity)
    os.makedirs(os.path.join(queue_directory, "pid"), exist_ok=True)
    house = os.path.join(queue_directory, "posthouse")
    _folder(house, 0o755, own_identity())
    _folder(os.path.join(house, "queue"), 0o700, identity)
    _folder(os.path.join(house, "maildrop"), 0o1733, identity)
    _folder(os.path.join(house, "private"), 0o711, own_identity())
    _folder(os.path.join(data_directory, "journal"), 0o700, identity)


def prepare_store(mail_store_directory: str, data_directory: str, identity: Identity) -> None:
    """Make the store's folder for mail_owner, where he cannot make it himself; one that is there keeps its owner.
    Raises OSError."""
    if not f"{mail_store_directory}/".startswith(f"{data_directory}/") and not os.path.isdir(mail_store_directory):
        _folder(mail_store_directory, 0o700, identity)


def bind_sockets(queue_directory: str, identity: Identity) -> dict[str, socket.socket]:
    """Bind the local sockets. Raises OSError."""
    for name in os.listdir(os.path.join(queue_directory, "posthouse")):
        if name.startswith("control") or name == MAILBOX:  # of a master that was killed
            unlink_socket(queue_directory, name)
    return {name: _bind(queue_directory, name, mode, identity) for name, mode in SOCKETS.items()}


def _bind(queue_directory: str, name: str, mode: int, identity: Identity) -> socket.socket:
    path = socket_path(queue_directory, name)
    bound = bind(Endpoint(path, 0), shared=False)
    os.chmod(path, mode)
    if os.geteuid() == 0:
        os.chown(path, identity.uid, identity.gid)
    return bound


def bind_mailbox(queue_directory: str, identity: Identity) -> socket.socket:
    """The socket that access workers share. Raises OSError."""
    return _bind(queue_directory, MAILBOX, 0o666, identity)


def bind_control(queue_directory: str, number: int, identity: Identity) -> socket.socket:
    """The socket of one mail worker. Each has its own name, so that a retired worker is still asked. Raises OSError."""
    return _bind(queue_directory, f"control.{number}", 0o666, identity)


def unlink_socket(queue_directory: str, name: str) -> None:
    """Take a socket's name away: whoever connects next learns at once that nobody listens."""
    try:
        os.unlink(socket_path(queue_directory, name))
    except OSError:
        pass
