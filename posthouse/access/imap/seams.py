"""What IMAP sessions ask of others: accounts, and who serves one elsewhere. (Passwords: access/login.py.)"""

from collections.abc import Awaitable, Callable

from posthouse.mailbox.store import AccountStore, Refused
from posthouse.net.connection import TcpStream

OpenAccount = Callable[[str], Awaitable[AccountStore | Refused]]
"""From a login to its mail."""

Elsewhere = Callable[[str], Awaitable[TcpStream | None]]
"""From a login to a stream whose other end serves it (a child that runs as that user), or None: it is served here.
Raises OSError, StreamClosed or StreamTimeout when the child cannot be had."""


async def here(login: str) -> TcpStream | None:
    """Every account is served in this process."""
    return None
