"""A local socket whose caller the kernel knows: IMAP that begins logged in, for mail(1) and programs like it.

Whoever connects reads the mail of the login that the process's uid has, and nobody else's: there is
nothing to say before, and no password. From the greeting on it is the dialogue of every IMAP session.

Standards: RFC 3501 section 7.1.4 (PREAUTH).
"""

from collections.abc import Awaitable, Callable

from posthouse.access.imap.dialogue import denied
from posthouse.access.imap.handover import PREAUTHENTICATED
from posthouse.access.imap.login import Denied
from posthouse.access.imap.opening import UNAVAILABLE, Opening
from posthouse.access.imap.service import ImapService
from posthouse.net.connection import TcpStream

NAME = "local"
"""The client's name in the log: a process of this machine."""

NOBODY = Denied("NO", "This user has no mail here.")

LoginOf = Callable[[int], Awaitable[str | None]]
"""From a uid to the login whose mail it may read, or None. Raises OSError when that cannot be told now."""


class LocalListener:
    """Runs the sessions of the local socket."""

    def __init__(self, service: ImapService, login_of: LoginOf) -> None:
        self._service = service
        self._login_of = login_of

    async def on_stream(self, stream: TcpStream) -> None:
        """One session, to its end."""
        credentials = stream.peer_credentials()
        if credentials is None:
            return
        uid = credentials[1]
        log = self._service.log.session(next(self._service.numbers))
        opening = Opening(self._service, stream, log, NAME, f"uid={uid}")

        async def run(number: int) -> None:
            await self._serve(opening, uid, number)

        await opening.attend(run)

    async def _serve(self, opening: Opening, uid: int, number: int) -> None:
        if opening.crowded(number):
            await _deny(opening, Denied("NO", f"Too many connections from {opening.address}."))
            return
        try:
            login = await self._login_of(uid)
        except OSError as error:
            opening.log.warning(f"{opening.namaddr}: mail cannot be served: {error}")
            await _deny(opening, UNAVAILABLE)
            return
        if login is None:
            await _deny(opening, NOBODY)
            return
        handover = opening.handover(login, "*", PREAUTHENTICATED)
        session = await opening.find(handover)
        if isinstance(session, Denied):
            await _deny(opening, session)
            return
        opening.log.info(f"login: user=<{login}>, method=uid, rip={NAME}, lip={NAME}")
        opening.record("login", login, "permit: IMAP uid")
        await opening.go_on(handover, session)


async def _deny(opening: Opening, why: Denied) -> None:
    opening.connection.send(denied(opening.handover("", "*", PREAUTHENTICATED), why))
    await opening.connection.drain()
