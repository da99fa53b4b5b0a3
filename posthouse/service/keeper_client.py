"""The hands of a mail worker where a keeper runs: each errand is a connection to its socket."""

import asyncio
import os
import socket

from posthouse.envelope.content import Content
from posthouse.service import keeper_wire
from posthouse.service.hands import content_file
from posthouse.transport.hands import UNAVAILABLE, Errand, Report, deferred

ERRAND_PATIENCE = 3700.0
"""Seconds to wait for a report: command_time_limit's usual 1,000 and locks fit, a lost keeper is noticed at once."""


class KeeperClient:
    """Hands by way of the keeper."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def run(self, errand: Errand, content: Content) -> Report:
        """Have it done. A keeper that is not there, or dies meanwhile, defers."""
        loop = asyncio.get_running_loop()
        descriptor = await content_file(content)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            async with asyncio.timeout(ERRAND_PATIENCE):
                await loop.sock_connect(connection, self._path)
                keeper_wire.send(connection, keeper_wire.encode(errand), descriptor)
                said = bytearray()
                while chunk := await loop.sock_recv(connection, 65536):
                    said += chunk
        except (OSError, TimeoutError):
            return deferred(UNAVAILABLE.status, UNAVAILABLE.reason)
        finally:
            connection.close()
            os.close(descriptor)
        report = keeper_wire.decode_report(bytes(said))
        return report if report is not None else deferred(UNAVAILABLE.status, UNAVAILABLE.reason)
