"""An access worker: imapd and pop3d listeners."""

import socket
from collections.abc import Sequence

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.host.log import Sink
from posthouse.host.users import become
from posthouse.service import maillog
from posthouse.service.child import Inheritance
from posthouse.service.listeners import Listener
from posthouse.service.loop import Work, run_worker


class AccessWorker:
    """The parts of one access worker, wired."""

    def __init__(
        self,
        configuration: Configuration,
        services: Sequence[Service],
        sink: Sink,
        sockets: Sequence[tuple[Listener, socket.socket]],
        *,
        keeper_path: str = "",
    ) -> None:
        """Everything that reads keys and tables happens here. Raises ConfigError."""
        self._sockets = sockets

    async def start(self) -> None:
        """Listen."""

    async def adopt(self) -> None:
        """Access workers leave nothing behind."""

    async def retire(self, grace: float) -> None:
        """Accept no more, let sessions finish within grace seconds."""

    async def stop(self, grace: float = 1.0) -> None:
        """End."""


def main(inheritance: Inheritance) -> int:
    """The access worker's process; returns its exit status."""
    sink = maillog.open_sink(inheritance.configuration, inheritance.log_descriptor, buffered=True)

    def make() -> Work:
        worker = AccessWorker(inheritance.configuration, inheritance.services, sink, inheritance.sockets)
        become(inheritance.identity)
        return worker

    return run_worker(inheritance, sink, make)
