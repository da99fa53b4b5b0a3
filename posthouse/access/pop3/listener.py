"""A POP3 listener's sessions, from connect to disconnect.

    listener = Pop3Listener(service, name_of=…)
    await start_server(sock, listener.on_stream)

Standards: RFC 1939 sections 3 and 4.
"""

import itertools
import os
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable

from posthouse.access.pop3.login import apop, auth, password, start_tls, stls, user
from posthouse.access.pop3.session import Pop3Service, Pop3Session, SessionEnded
from posthouse.access.pop3.transaction import capa, dele, list_sizes, noop, quit, retr, rset, stat, top, uidl
from posthouse.net.stream import Stream
from posthouse.wire.pop3.command import KNOWN, VERBS, Command, TooLong, parse_command
from posthouse.wire.pop3.reply import err, ok

Verb = Callable[[Pop3Session, Command], Awaitable[bytes | None]]

CALLS: dict[str, Verb] = {
    "USER": user,
    "PASS": password,
    "APOP": apop,
    "AUTH": auth,
    "STLS": stls,
    "CAPA": capa,
    "QUIT": quit,
    "STAT": stat,
    "LIST": list_sizes,
    "UIDL": uidl,
    "RETR": retr,
    "TOP": top,
    "DELE": dele,
    "RSET": rset,
    "NOOP": noop,
}


async def _unknown_name(address: str) -> str:
    return "unknown"


class Pop3Listener:
    """Runs the sessions of one listener."""

    def __init__(
        self,
        service: Pop3Service,
        *,
        name_of: Callable[[str], Awaitable[str]] = _unknown_name,
        numbers: Callable[[], int] | None = None,
    ) -> None:
        """`name_of`: a client's verified name, or "unknown". `numbers`: one for each session's log lines."""
        self.service = service
        self._name_of = name_of
        self._numbers = numbers or itertools.count(os.getpid()).__next__
        self._open: Counter[str] = Counter()

    async def on_stream(self, stream: Stream) -> None:
        """One session, to its end."""
        service = self.service
        log = service.log.session(self._numbers())
        address = stream.peer.host
        name = await self._name_of(address)
        # RFC 1939 section 7, APOP: a timestamp never given twice. The bracketed part is what the digest covers.
        timestamp = f"<{secrets.token_hex(12)}@{service.settings.myhostname}>"
        session = Pop3Session(service, stream, log, name, timestamp)
        log.info(f"connect from {session.namaddr}")
        self._open[address] += 1
        try:
            if await self._admitted(session, address):
                await self._converse(session)
        except SessionEnded as end:
            log.info(f"{end} after {session.where} from {session.namaddr}")
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
            await session.finish()
            if session.account is not None:
                log.info(
                    f"logout: client={session.namaddr}, sasl_username={session.account.login}, "
                    f"retrieved={len(session.fetched)}, octets={session.fetched_octets}, deleted={session.removed}"
                )
            log.info(f"disconnect from {session.namaddr} {session.tally()}")
            stream.close()

    async def _admitted(self, session: Pop3Session, address: str) -> bool:
        settings = self.service.settings
        if settings.pop3d_tls_wrappermode:
            await start_tls(session)
        limit = settings.pop3d_client_connection_count_limit
        if limit and self._open[address] > limit:
            session.log.warning(f"Connection concurrency limit exceeded: {self._open[address]} from {session.namaddr}")
            session.send(err("too many connections", "SYS/TEMP"))
            await session.flush()
            return False
        session.send(ok(f"{settings.pop3d_banner} {session.timestamp}"))
        return True

    async def _converse(self, session: Pop3Session) -> None:
        limit = self.service.settings.pop3d_hard_error_limit
        while not session.over:
            line = await session.next_line()
            command = Command("", "") if isinstance(line, TooLong) else parse_command(line)
            known = command.verb in KNOWN
            session.where = command.verb if known else "UNKNOWN"
            reply: bytes | None
            if isinstance(line, TooLong):
                reply = err("line too long")
            elif command.verb in VERBS[session.state]:
                reply = await CALLS[command.verb](session, command)
            elif known:
                reply = err(f"{command.verb} is not for this state")
            else:
                reply = err("unknown command")
            session.counted(command.verb if known else "unknown", good=reply is None or reply[:1] == b"+")
            if reply is not None:
                session.send(reply)
            await session.flush_some()
            if session.errors >= limit and not session.over:
                session.send(err("too many errors"))
                await session.flush()
                raise SessionEnded("too many errors")
        await session.flush()
