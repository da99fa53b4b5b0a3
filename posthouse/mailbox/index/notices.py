"""Who waits for which account, and how other processes tell: a datagram that is only a hint.

Each process that has waiting sessions binds a Unix datagram socket in one folder; whoever
committed a change sends the account's name to every socket there. Nothing is ever lost by a lost
datagram: modseq decides what is told, and sessions compare it every 30 s anyway.
"""

import asyncio
import itertools
import os
import socket
from pathlib import Path

# The name of an account fits in much less; a datagram that does not is ignored.
DATAGRAM = 4096

_numbers = itertools.count(1)


class NoticeBoard:
    """One per store and event loop."""

    def __init__(self, folder: Path | None) -> None:
        """folder: shared by all processes of the store; None tells only sessions of this process."""
        self._folder = folder
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._socket: socket.socket | None = None
        self._name = ""
        self._peers: list[str] = []
        self._peers_time = -1
        self._sender: socket.socket | None = None

    def join(self, account: str) -> asyncio.Event:
        """An event that is set at each notice; leave() it."""
        if self._socket is None and self._folder is not None:
            self._bind(self._folder)
        event = asyncio.Event()
        self._waiting.setdefault(account, set()).add(event)
        return event

    def leave(self, account: str, event: asyncio.Event) -> None:
        """No longer waiting."""
        events = self._waiting.get(account)
        if events is not None:
            events.discard(event)
            if not events:
                del self._waiting[account]

    def tell(self, *accounts: str) -> None:
        """Something changed: here and elsewhere."""
        for account in accounts:
            self._wake(account)
        if self._folder is not None and self._find_peers(self._folder):
            for account in accounts:
                self._send(self._folder, account)

    def _wake(self, account: str) -> None:
        for event in self._waiting.get(account, ()):
            event.set()

    def _bind(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._name = f"{os.getpid()}-{next(_numbers)}"
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._socket.bind(_short(folder, self._name))
        except OSError:
            self._unbind()  # sessions then hear within 30 s
            return
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    def _receive(self) -> None:
        assert self._socket is not None
        for _ in range(100):
            try:
                account = self._socket.recv(DATAGRAM)
            except OSError:
                return
            self._wake(account.decode(errors="replace"))

    def _find_peers(self, folder: Path) -> bool:
        """Look whether others wait: their sockets' folder changes when one comes or goes."""
        try:
            changed = os.stat(folder).st_mtime_ns
            if changed != self._peers_time:
                self._peers = [name for name in os.listdir(folder) if name != self._name]
                self._peers_time = changed
        except OSError:
            return False
        return bool(self._peers)

    def _send(self, folder: Path, account: str) -> None:
        for peer in self._peers:
            if self._sender is None:
                self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                self._sender.sendto(account.encode(), _short(folder, peer))
            except ConnectionRefusedError:
                (folder / peer).unlink(missing_ok=True)  # its process is gone
            except OSError:
                continue  # full, or gone: a hint only

    def _unbind(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Take the socket away; wake all who wait."""
        for account in list(self._waiting):
            self._wake(account)
        if self._socket is not None and self._folder is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._unbind()
            (self._folder / self._name).unlink(missing_ok=True)
        if self._sender is not None:
            self._sender.close()
            self._sender = None


def _short(folder: Path, name: str) -> str:
    """A path that fits in sun_path (108 bytes) however deep the folder is."""
    path = str(folder / name)
    if len(path.encode()) < 100:
        return path
    return os.path.relpath(path)
