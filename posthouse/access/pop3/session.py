"""One POP3 session: bytes in, verbs called, replies out.

Replies to commands that came together leave together (PIPELINING). A session that ends without QUIT deletes nothing;
what it fetched is marked as seen either way.

Standards: RFC 1939; RFC 2449 sections 6.6 and 6.9.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from posthouse.access.pop3.maildrop import Maildrop, Maildrops
from posthouse.accounts.account import Account
from posthouse.host.log import ProcessLog
from posthouse.mailbox.store import MailboxFault
from posthouse.net.stream import Address, Stream, StreamClosed, StreamTimeout
from posthouse.wire.pop3.command import LineReader, State, TooLong
from posthouse.wire.pop3.reply import DotStuffer, err, ok

LOGIN_SECONDS = 180.0
"""From connecting to having logged in: enough for a person at a terminal, too short to hold connections open."""
FAILED_LOGIN_SECONDS = 2.0
"""What a wrong password costs the client in time: guessing is slow."""
WRITE_SECONDS = 300.0
"""For the client to take what was sent."""
HELD_LIMIT = 65536
"""Octets of replies held back for one write."""
LAST_WORDS_SECONDS = 5.0
"""For marking what was fetched when the client is already gone."""


@dataclass(frozen=True, slots=True)
class Pop3Settings:
    """The parameters of one POP3 listener."""

    myhostname: str
    pop3d_banner: str
    pop3d_client_connection_count_limit: int
    pop3d_hard_error_limit: int
    pop3d_line_length_limit: int
    pop3d_timeout: int
    pop3d_tls_auth_only: bool
    pop3d_tls_security_level: str
    pop3d_tls_wrappermode: bool


class Logins(Protocol):
    """Who may log in: posthouse.accounts.accounts.Accounts."""

    async def authenticate(self, login: str, password: str) -> Account | None:
        """The account when the password fits. Raises AccountRetry."""

    async def find(self, login: str) -> Account | None:
        """The account of a login. Raises AccountRetry."""

    async def secret(self, login: str) -> str | None:
        """The password itself where it is kept plainly. Raises AccountRetry."""


@dataclass(frozen=True, slots=True)
class Pop3Service:
    """What the sessions of one listener share."""

    settings: Pop3Settings
    logins: Logins
    maildrops: Maildrops
    log: ProcessLog
    """Named e.g. "postfix/pop3d"."""
    tls: ssl.SSLContext | None = None
    """None: neither STLS nor wrappermode."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] | None = None
    """Steady seconds; None is the loop's."""


class SessionEnded(Exception):
    """The session is over before QUIT; the text is Postfix's reason."""


class Pop3Session:
    """The state of one connection."""

    def __init__(self, service: Pop3Service, stream: Stream, log: ProcessLog, client_name: str, timestamp: str) -> None:
        self.service = service
        self.stream = stream
        self.log = log
        self.peer: Address = stream.peer
        self.namaddr = f"{client_name}[{self.peer.host}]"
        self.timestamp = timestamp
        """APOP's, as the greeting says it."""
        self.state = State.AUTHORIZATION
        self.reader = LineReader(service.settings.pop3d_line_length_limit)
        self.where = "CONNECT"
        """The last verb, for "lost connection after"."""
        self.user: str | None = None
        """What USER said."""
        self.account: Account | None = None
        self.maildrop: Maildrop | None = None
        self.deleted: set[int] = set()
        self.fetched: set[int] = set()
        self.fetched_octets = 0
        self.removed = 0
        self.errors = 0
        self.over = False
        self._held = bytearray()
        self._counters: dict[str, list[int]] = {}
        loop = asyncio.get_running_loop()
        self.clock = service.clock or loop.time
        self.login_until = self.clock() + LOGIN_SECONDS

    @property
    def encrypted(self) -> bool:
        """Whether the connection is under TLS."""
        return self.stream.tls is not None

    @property
    def may_send_password(self) -> bool:
        """Whether a password may cross this connection: under TLS, from this very machine, or where it is allowed."""
        settings = self.service.settings
        if self.encrypted:
            return True
        if settings.pop3d_tls_security_level == "encrypt":
            return False
        own = self.peer.host == self.stream.local.host or self.peer.host in ("127.0.0.1", "::1", "")
        return own or not settings.pop3d_tls_auth_only

    # Reading and writing

    async def next_line(self) -> bytes | TooLong:
        """The client's next line. Raises SessionEnded."""
        timeout = float(self.service.settings.pop3d_timeout)
        until = self.clock() + timeout
        if self.state is State.AUTHORIZATION:
            until = min(until, self.login_until)
        while (line := self.reader.next_line()) is None:
            await self.flush()
            left = until - self.clock()
            if left <= 0:
                raise SessionEnded("timeout")
            try:
                data = await self.stream.read(left)
            except StreamTimeout as error:
                raise SessionEnded("timeout") from error
            except StreamClosed as error:
                raise SessionEnded("lost connection") from error
            if not data:
                raise SessionEnded("lost connection")
            self.reader.receive(data)
        return line

    def send(self, data: bytes) -> None:
        """Hold bytes back until the client has nothing more to say."""
        self._held += data

    async def flush(self) -> None:
        """Send what is held. Raises SessionEnded."""
        if not self._held:
            return
        self.stream.write(bytes(self._held))
        self._held.clear()
        try:
            await self.stream.drain(WRITE_SECONDS)
        except StreamTimeout as error:
            raise SessionEnded("timeout") from error
        except StreamClosed as error:
            raise SessionEnded("lost connection") from error

    async def flush_some(self) -> None:
        """Send what is held when it is much: a pipeline of LISTs must not fill memory."""
        if len(self._held) >= HELD_LIMIT:
            await self.flush()

    async def send_content(self, first: str, chunks: AsyncIterator[bytes]) -> bytes | None:
        """+OK and a message, or the refusal when it cannot be read. A fault half-way ends the session: the client
        must not take a part for the whole."""
        stuffer = DotStuffer()
        begun = False
        try:
            async for chunk in chunks:
                if not begun:
                    self.send(ok(first))
                    begun = True
                self.send(stuffer.feed(chunk))
                self.fetched_octets += len(chunk)
                await self.flush_some()
        except MailboxFault as error:
            self.log.warning(f"{self.namaddr}: cannot read a message: {error}")
            if begun:
                raise SessionEnded("mailbox trouble") from error
            return err("the message cannot be read now", "SYS/TEMP")
        if not begun:
            return err("the message is gone")
        self.send(stuffer.end())
        return None

    # Counting

    def counted(self, verb: str, *, good: bool) -> None:
        """Count a command for the disconnect line, and an error against the client."""
        counter = self._counters.setdefault(verb.lower(), [0, 0])
        counter[0] += good
        counter[1] += 1
        if not good:
            self.errors += 1

    def tally(self) -> str:
        """The counters: "user=1 pass=0/1 commands=1/2"."""
        words = [_counter(verb, good, total) for verb, (good, total) in self._counters.items()]
        good = sum(counter[0] for counter in self._counters.values())
        total = sum(counter[1] for counter in self._counters.values())
        return " ".join([*words, _counter("commands", good, total)])

    async def finish(self) -> None:
        """Mark what was fetched and give the maildrop back."""
        if self.maildrop is None:
            return
        maildrop, self.maildrop = self.maildrop, None
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                rest = sorted(self.fetched - (self.deleted if self.removed else set()))
                if rest:
                    await maildrop.seen(rest)
        except (MailboxFault, TimeoutError) as error:
            self.log.warning(f"{self.namaddr}: cannot mark messages as seen: {error or 'timeout'}")
        finally:
            await maildrop.close()


def _counter(name: str, good: int, total: int) -> str:
    return f"{name}={good}" if good == total else f"{name}={good}/{total}"
