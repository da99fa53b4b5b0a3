"""The postscreen service: an `inet` line whose clients go on to a `pass` line of smtpd, inside the process.

    smtp  inet n - y - 1 postscreen
    smtpd pass - - y - - smtpd -o …

The `pass` line's settings hold for the sessions; its maxproc is how many of them there may be at once, and who finds no
place waits (postscreen_post_queue_limit).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.net.connection import TcpStream
from posthouse.net.stream import Address
from posthouse.service.services import service_configuration, service_log
from posthouse.service.smtpd import SmtpdParts, open_smtpd
from posthouse.session.postscreen.listener import PostscreenListener
from posthouse.session.postscreen.open_service import open_postscreen_service
from posthouse.session.smtp.listener import SmtpListener
from posthouse.tables.warning import speaking

PLACE_PATIENCE = 100.0
"""Seconds that a client waits for a place, as Postfix's postscreen waits for a server to take it."""


@dataclass(frozen=True, slots=True)
class PassSettings:
    """Who takes clients over."""

    smtpd_service_name: str
    default_process_limit: int


class PassServer:
    """The sessions of one `pass` line."""

    def __init__(
        self,
        name: str,
        smtp: SmtpListener,
        limit: int,
        warn: Callable[[str], None],
        patience: float = PLACE_PATIENCE,
    ) -> None:
        """limit 0: as many as come."""
        self._name = name
        self._patience = patience
        self._warn = warn
        self._smtp = smtp
        self._places = asyncio.Semaphore(limit) if limit else None

    async def admit(self) -> bool:
        """A place, in time."""
        if self._places is None:
            return True
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            self._warn(f"timeout sending connection to service private/{self._name}")
            return False
        return True

    async def serve(self, stream: TcpStream, peer: Address, local: Address) -> None:
        """A session, which gives its place back."""
        try:
            await self._smtp.serve(stream, peer, local)
        finally:
            if self._places is not None:
                self._places.release()


class NoServer:
    """There is no such line: each client hears that all are busy, as from Postfix."""

    def __init__(self, name: str, warn: Callable[[str], None]) -> None:
        self._name = name
        self._warn = warn

    async def admit(self) -> bool:
        """Never."""
        self._warn(f"cannot connect to service private/{self._name}: No such file or directory")
        return False

    async def serve(self, stream: TcpStream, peer: Address, local: Address) -> None:
        """Never called."""


class Postscreens:
    """Opens the listeners of one worker; those that name the same `pass` line share its places."""

    def __init__(self, services: Sequence[Service], configuration: Configuration, parts: SmtpdParts) -> None:
        self._services = services
        self._configuration = configuration
        self._parts = parts
        self._servers: dict[str, PassServer] = {}

    def open(self, service: Service) -> PostscreenListener:
        """One line's. Raises ConfigError."""
        own = service_configuration(self._configuration, service)
        parts = self._parts
        log = service_log(own, parts.sink, service.command)
        with speaking(log.warning, log.error):
            server = self._server(read_settings(PassSettings, own), log.warning)
            return PostscreenListener(
                open_postscreen_service(
                    own, server=server, resolver=parts.resolver, log=log, journal=parts.journal, workers=parts.workers
                )
            )

    def _server(self, settings: PassSettings, warn: Callable[[str], None]) -> PassServer | NoServer:
        name = settings.smtpd_service_name
        server = self._servers.get(name)
        if server is not None:
            return server
        for service in self._services:
            if service.name == name and service.type == "pass" and service.command == "smtpd":
                limit = settings.default_process_limit if service.maxproc is None else service.maxproc
                smtp = open_smtpd(service, self._configuration, self._parts)
                server = self._servers[name] = PassServer(name, smtp, limit, warn)
                return server
        return NoServer(name, warn)
