"""Asking the keeper: errands, PAM, and sessions of system users. Each is a connection to its socket."""

import asyncio
import os
import socket

from posthouse.accounts.account import AccountRetry
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
                keeper_wire.send(connection, keeper_wire.encode_request(errand), descriptor)
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


PAM_PATIENCE = 30.0
"""Seconds to wait for PAM: its modules may ask a network, and delay after a wrong password."""


class KeeperPam:
    """PamCheck by way of the keeper."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def check(self, login: str, password: str) -> bool:
        """Whether the password fits. Raises AccountRetry when the keeper or PAM does not answer."""
        loop = asyncio.get_running_loop()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            async with asyncio.timeout(PAM_PATIENCE):
                await loop.sock_connect(connection, self._path)
                keeper_wire.send(connection, keeper_wire.encode_request(keeper_wire.PasswordCheck(login, password)))
                said = await loop.sock_recv(connection, 16)
        except (OSError, TimeoutError) as error:
            raise AccountRetry(f"PAM: {error}") from error
        finally:
            connection.close()
        if said not in (b"yes", b"no"):
            raise AccountRetry("PAM: no answer")
        return said == b"yes"


async def start_session(path: str, start: keeper_wire.SessionStart) -> socket.socket:
    """Have a child of the user speak; returns our end of the plain stream. Raises OSError."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        await loop.sock_connect(connection, path)
        keeper_wire.send(connection, keeper_wire.encode_request(start), theirs.fileno())
    except OSError:
        ours.close()
        raise
    finally:
        connection.close()
        theirs.close()
    ours.setblocking(False)
    return ours
