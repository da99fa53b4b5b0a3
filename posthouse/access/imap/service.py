"""What all sessions of one IMAP listener share."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from posthouse.access.clients import Clients
from posthouse.access.imap.seams import Elsewhere, OpenAccount, here
from posthouse.access.imap.settings import ImapdSettings
from posthouse.access.login import Login
from posthouse.dns.hosts import HostsFile
from posthouse.dns.resolver import Resolver
from posthouse.host.log import ProcessLog, session_numbers
from posthouse.journal.journal import Journal


@dataclass(slots=True)
class ImapService:
    """One listener's configuration and neighbours. A user's child needs the first four only."""

    settings: ImapdSettings
    open_account: OpenAccount
    log: ProcessLog
    journal: Journal
    login: Login | None = None
    """None where nobody can log in: LOGINDISABLED."""
    elsewhere: Elsewhere = here
    """Who serves a login that is not served in this process."""
    tls_context: ssl.SSLContext | None = None
    """None where no certificate is usable: STARTTLS is then not offered."""
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    resolver: Resolver | None = None
    """None: client names are not looked up."""
    hosts: HostsFile | None = None
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    numbers: Iterator[int] = field(default_factory=session_numbers)
    """Session numbers for the log: unique to a session, so that its lines can be paired."""
    clients: Clients = field(default_factory=lambda: Clients(time.monotonic))
    """Shared by a worker's listeners, POP3's too."""
