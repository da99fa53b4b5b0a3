"""STAT, LIST, UIDL, RETR, TOP, DELE, RSET, NOOP: the TRANSACTION state. QUIT, and the UPDATE it begins. CAPA.

Standards: RFC 1939 sections 5 to 7; RFC 2449 sections 5 and 6; RFC 3206 section 4.
"""

from collections.abc import Callable

from posthouse.access.pop3.login import mechanisms
from posthouse.access.pop3.maildrop import DropMessage, Maildrop
from posthouse.access.pop3.session import Pop3Session
from posthouse.mailbox.store import MailboxFault
from posthouse.wire.pop3.command import Command, State, parse_number
from posthouse.wire.pop3.reply import err, listing, ok

NO_SUCH = err("no such message")


def _maildrop(session: Pop3Session) -> Maildrop:
    assert session.maildrop is not None  # the state table lets nobody in without
    return session.maildrop


def _number(session: Pop3Session, text: str) -> int | None:
    number = parse_number(text)
    if number is None or not 1 <= number <= len(_maildrop(session).messages) or number in session.deleted:
        return None
    return number


async def stat(session: Pop3Session, command: Command) -> bytes:
    """STAT: how many, how much; what is marked as deleted does not count."""
    if command.text:
        return err("Syntax: STAT")
    messages = _maildrop(session).messages
    left = [message.size for number, message in enumerate(messages, 1) if number not in session.deleted]
    return ok(f"{len(left)} {sum(left)}")


def _list(session: Pop3Session, command: Command, shown: Callable[[DropMessage], object]) -> bytes:
    messages = _maildrop(session).messages
    words = command.arguments
    if words:
        number = _number(session, words[0]) if len(words) == 1 else None
        return NO_SUCH if number is None else ok(f"{number} {shown(messages[number - 1])}")
    left = [(number, message) for number, message in enumerate(messages, 1) if number not in session.deleted]
    return listing(f"{len(left)} messages", [f"{number} {shown(message)}" for number, message in left])


async def list_sizes(session: Pop3Session, command: Command) -> bytes:
    """LIST [message]."""
    return _list(session, command, lambda message: message.size)


async def uidl(session: Pop3Session, command: Command) -> bytes:
    """UIDL [message]."""
    return _list(session, command, lambda message: message.unique_id)


async def retr(session: Pop3Session, command: Command) -> bytes | None:
    """RETR message."""
    number = _number(session, command.text)
    if number is None:
        return NO_SUCH
    maildrop = _maildrop(session)
    refusal = await session.send_content(f"{maildrop.messages[number - 1].size} octets", maildrop.content(number))
    if refusal is None:
        session.fetched.add(number)
    return refusal


async def top(session: Pop3Session, command: Command) -> bytes | None:
    """TOP message lines."""
    words = command.arguments
    lines = parse_number(words[1]) if len(words) == 2 else None
    if lines is None:
        return err("Syntax: TOP message lines")
    number = _number(session, words[0])
    if number is None:
        return NO_SUCH
    return await session.send_content("top of message follows", _maildrop(session).top(number, lines))


async def dele(session: Pop3Session, command: Command) -> bytes:
    """DELE message: marked; QUIT deletes."""
    number = _number(session, command.text)
    if number is None:
        return NO_SUCH
    session.deleted.add(number)
    return ok("marked as deleted")


async def rset(session: Pop3Session, command: Command) -> bytes:
    """RSET: nothing is marked any more."""
    if command.text:
        return err("Syntax: RSET")
    session.deleted.clear()
    return ok()


async def noop(session: Pop3Session, command: Command) -> bytes:
    """NOOP."""
    return err("Syntax: NOOP") if command.text else ok()


async def quit(session: Pop3Session, command: Command) -> bytes:
    """QUIT: in TRANSACTION, delete what is marked (RFC 1939 section 6)."""
    if command.text:
        return err("Syntax: QUIT")
    session.over = True
    if session.state is not State.TRANSACTION or not session.deleted:
        return ok("Bye")
    try:
        done = await _maildrop(session).remove(sorted(session.deleted))
    except MailboxFault as error:
        session.log.warning(f"{session.namaddr}: cannot delete messages: {error}")
        done = False
    if not done:
        return err("some deleted messages not removed", "SYS/TEMP")
    session.removed = len(session.deleted)
    return ok("Bye")


async def capa(session: Pop3Session, command: Command) -> bytes:
    """CAPA: what works on this connection now."""
    if command.text:
        return err("Syntax: CAPA")
    lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"]
    if session.may_send_password:
        lines += ["USER", f"SASL {' '.join(mechanisms(session))}"]
    if session.service.tls is not None and not session.encrypted:
        lines.append("STLS")
    if session.state is State.TRANSACTION:
        lines.append("IMPLEMENTATION Posthouse")
    return listing("Capability list follows", lines)
