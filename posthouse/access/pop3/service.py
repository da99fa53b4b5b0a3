"""What all sessions of one POP3 listener share, and how a session is handed over at its login.

A session has two halves. Before the login (front.py) it knows no mail: it runs in the access
worker. With the login the connection goes to `serve`, which opens the maildrop and answers
everything from there on, the login's own +OK included: only whoever opens the maildrop knows
whether it opened, and a client must not hear +OK before. `serve` is serve_here() (session.py) in
the same process, or serve_elsewhere() (elsewhere.py), which splices the bytes to a child that
runs a Pop3Session as that user.
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from posthouse.access.clients import Clients
from posthouse.access.login import Login
from posthouse.access.pop3.settings import Pop3dSettings
from posthouse.dns.hosts import HostsFile
from posthouse.dns.resolver import Resolver
from posthouse.host.log import ProcessLog, session_numbers
from posthouse.mailbox.store import AccountStore, Refused
from posthouse.net.stream import Stream


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Whose session it is from here on: all that a child process needs to know. Plain text and numbers."""

    login: str
    """The account."""
    client_name: str
    client_address: str
    number: int
    """The session's number in the log."""

    @property
    def client(self) -> str:
        """ "host[address]", for the log."""
        return f"{self.client_name}[{self.client_address}]"


@dataclass(frozen=True, slots=True)
class Served:
    """How the second half of a session ended. Plain text and numbers: it may come from a child process."""

    reason: str = ""
    """"" after QUIT, else the log's words: "lost connection", "timeout", …"""
    where: str = ""
    """The last command."""
    tally: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Commands that succeeded, and all, by verb in lower case."""


OpenAccount = Callable[[str], Awaitable[AccountStore | Refused]]
"""From a login to its open account. Raises MailboxFault."""

Serve = Callable[[Stream, LoggedIn, bytes], Awaitable[Served]]
"""serve(stream, logged_in, pending): the rest of the session on a stream whose plain bytes are the client's; pending
were read already. It sends the login's own reply first. The caller closes the stream and logs the end."""


@dataclass(slots=True)
class Pop3Service:
    """One listener's configuration and neighbours; sessions are made by Pop3Listener.on_stream()."""

    settings: Pop3dSettings
    login: Login
    serve: Serve
    log: ProcessLog
    name: str = "pop3"
    """The service's name for warnings: "pop3", "pop3s" or "127.0.0.1:110"."""
    resolver: Resolver | None = None
    """None: clients are not looked up and called "unknown"."""
    hosts: HostsFile | None = None
    tls_context: ssl.SSLContext | None = None
    """None where no certificate is usable: STLS is then not offered."""
    apop: Callable[[], bool] = lambda: False
    """Whether a greeting has a timestamp, which makes clients prefer APOP: only where passwords are kept in plain."""
    clients: Clients = field(default_factory=lambda: Clients(time.monotonic))
    """Shared by the listeners of a worker."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    unique: Callable[[], str] = lambda: secrets.token_hex(12)
    """The random part of a greeting's timestamp."""
    numbers: Iterator[int] = field(default_factory=session_numbers)
    """Session numbers for the log: unique to a session, so that its lines can be paired."""
