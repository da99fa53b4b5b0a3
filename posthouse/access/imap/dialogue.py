"""The dialogue after login: which command is answered by whom, and what goes around every answer.

Whoever goes on with a connection after login (this process, or a user's child) opens the account,
answers the waiting command, and runs converse().

    session = await open_session(service, connection, log, handover)   # ImapSession or Denied
    await converse(session)                                            # to LOGOUT or SessionEnded

Standards: RFC 3501 sections 3, 5.5 and 6.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.access.imap import capability
from posthouse.access.imap.connection import Connection, SessionEnded
from posthouse.access.imap.handover import LINE_LIMIT, PREAUTHENTICATED, Handover, parse_handover
from posthouse.access.imap.login import Denied
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.session import Done, ImapSession, MailboxGone
from posthouse.access.imap.sync import tell_changes
from posthouse.access.imap.verbs.append import append
from posthouse.access.imap.verbs.capability import capability as capability_verb
from posthouse.access.imap.verbs.close import close, unselect
from posthouse.access.imap.verbs.copy import copy, move
from posthouse.access.imap.verbs.create import create
from posthouse.access.imap.verbs.delete import delete
from posthouse.access.imap.verbs.enable import enable
from posthouse.access.imap.verbs.expunge import expunge
from posthouse.access.imap.verbs.fetch import fetch
from posthouse.access.imap.verbs.id import id_
from posthouse.access.imap.verbs.idle import idle as idle_
from posthouse.access.imap.verbs.list import list_, lsub
from posthouse.access.imap.verbs.namespace import namespace
from posthouse.access.imap.verbs.noop import noop
from posthouse.access.imap.verbs.quota import getquota, getquotaroot, setquota
from posthouse.access.imap.verbs.rename import rename
from posthouse.access.imap.verbs.search import search
from posthouse.access.imap.verbs.select import examine, select
from posthouse.access.imap.verbs.status import status
from posthouse.access.imap.verbs.store import store
from posthouse.access.imap.verbs.subscribe import subscribe, unsubscribe
from posthouse.host.log import ProcessLog
from posthouse.mailbox.store import MailboxFault, Refusal, Refused
from posthouse.net.connection import TcpStream
from posthouse.wire.imap.append import MessageLiteral
from posthouse.wire.imap.error import ImapNameError, ImapSyntaxError
from posthouse.wire.imap.reader import Broken, Command
from posthouse.wire.imap.response import tagged, untagged

FAULT = Done("NO", "Internal error occurred; the server's log says more.", "UNAVAILABLE")
NOT_SELECTED = "No mailbox selected"
ASKING = ("NOOP", "CHECK", "EXPUNGE")
"""Commands by which a client asks for expunges, whatever it sends behind them."""


@dataclass(frozen=True, slots=True)
class Verb:
    """Who answers a command, and what is so about it."""

    answer: Callable[[ImapSession, Command], Awaitable[Done]]
    selected: bool = False
    """Whether a mailbox must be selected."""
    fixed: bool = False
    """Whether sequence numbers must not move while it is answered (RFC 3501 section 7.4.1)."""


# RFC 3501 section 6: the commands of the authenticated and selected states.
VERBS: dict[str, Verb] = {
    "CAPABILITY": Verb(capability_verb),
    "NOOP": Verb(noop),
    "ID": Verb(id_),
    "ENABLE": Verb(enable),
    "SELECT": Verb(select),
    "EXAMINE": Verb(examine),
    "CREATE": Verb(create),
    "DELETE": Verb(delete),
    "RENAME": Verb(rename),
    "SUBSCRIBE": Verb(subscribe),
    "UNSUBSCRIBE": Verb(unsubscribe),
    "LIST": Verb(list_),
    "LSUB": Verb(lsub),
    "STATUS": Verb(status),
    "NAMESPACE": Verb(namespace),
    "IDLE": Verb(idle_),
    "GETQUOTA": Verb(getquota),
    "GETQUOTAROOT": Verb(getquotaroot),
    "SETQUOTA": Verb(setquota),
    "CHECK": Verb(noop, selected=True),
    "CLOSE": Verb(close, selected=True),
    "UNSELECT": Verb(unselect, selected=True),
    "EXPUNGE": Verb(expunge, selected=True),
    "SEARCH": Verb(search, selected=True, fixed=True),
    "FETCH": Verb(fetch, selected=True, fixed=True),
    "STORE": Verb(store, selected=True, fixed=True),
    "COPY": Verb(copy, selected=True),
    "MOVE": Verb(move, selected=True),
    "UID SEARCH": Verb(search, selected=True),
    "UID FETCH": Verb(fetch, selected=True),
    "UID STORE": Verb(store, selected=True),
    "UID COPY": Verb(copy, selected=True),
    "UID MOVE": Verb(move, selected=True),
    "UID EXPUNGE": Verb(expunge, selected=True),
}

BEFORE_LOGIN = ("LOGIN", "AUTHENTICATE", "STARTTLS")


async def open_session(
    service: ImapService, connection: Connection, log: ProcessLog, handover: Handover
) -> ImapSession | Denied:
    """Open the account and answer the command that logged in."""
    try:
        account = await service.open_account(handover.login)
    except MailboxFault as fault:
        log.warning(f"{handover.namaddr}: mail of {handover.login} cannot be opened: {fault}")
        return Denied("NO", "Mail is temporarily unavailable.", "UNAVAILABLE")
    if isinstance(account, Refused):
        log.warning(f"{handover.namaddr}: mail of {handover.login} cannot be opened: {account.text}")
        code = "INUSE" if account.refusal is Refusal.IN_USE else "UNAVAILABLE"
        return Denied("NO", "Mail is not available.", code)
    settings = service.settings
    reader = connection.reader
    reader.line_limit = reader.literal_limit = settings.imapd_line_length_limit
    connection.timeout, connection.deadline = float(settings.imapd_timeout), None
    status = "PREAUTH" if handover.verb == PREAUTHENTICATED else "OK"
    connection.send(tagged(handover.tag, status, "Logged in", f"CAPABILITY {capability.after_login(settings)}"))
    return ImapSession(service, connection, log, handover.namaddr, account)


def denied(handover: Handover, why: Denied) -> bytes:
    """What a client hears whose session ends here: the answer to its command, and BYE."""
    if handover.verb == PREAUTHENTICATED:
        return untagged("BYE", why.text, why.code)
    return tagged(handover.tag, why.status, why.text, why.code) + untagged("BYE", "Mail is not available.")


async def serve_handed_over(service: ImapService, stream: TcpStream) -> None:
    """The other end of a hand-over, in a child that runs as the user: the stream begins with handover.py's line."""
    settings = service.settings
    connection = Connection(
        stream,
        settings,
        line_limit=LINE_LIMIT,
        literal_limit=settings.imapd_line_length_limit,
        timeout=float(settings.imapd_timeout),
    )
    reason = ""
    log, namaddr = service.log, ""
    try:
        handover = parse_handover(await connection.line())
        if handover is None:
            service.log.warning("no hand-over line")
            return
        namaddr = handover.namaddr
        log = service.log.session(handover.number)
        session = await open_session(service, connection, log, handover)
        if isinstance(session, Denied):
            connection.send(denied(handover, session))
            await connection.drain()
            return
        if handover.verb != PREAUTHENTICATED:
            connection.count(handover.verb, good=True)
        await converse(session)
    except ImapSyntaxError as error:
        log.warning(f"hand-over: {error}")
    except SessionEnded as end:
        reason = str(end)
    finally:
        if reason:
            log.info(f"{reason} after {connection.where} from {namaddr}")
        log.info(f"end of session from {namaddr} {connection.tally()}")
        stream.close()


async def converse(session: ImapSession) -> None:
    """Answer commands until LOGOUT. Raises SessionEnded."""
    try:
        while await _one(session):
            pass
    except MailboxGone:
        session.send(untagged("BYE", "The selected mailbox was deleted: disconnecting."))
        await session.connection.drain()
    finally:
        selection = session.selection
        session.selection = None
        if selection is not None:
            try:
                await selection.mailbox.close()
            except MailboxFault as fault:
                session.log.warning(f"{session.namaddr}: {fault}")
        await session.account.close()


async def _one(session: ImapSession) -> bool:
    """One command; False after LOGOUT."""
    connection = session.connection
    event = await connection.event()
    if isinstance(event, Broken):
        connection.where = "UNKNOWN"
        connection.count("unknown", good=False)
        await connection.refuse(event.tag, event.text, fatal=event.fatal, status=event.status)
        return True
    if isinstance(event, MessageLiteral):
        connection.where = "APPEND"
        await _answer(session, connection.reader.tag, "APPEND", append(session, event))
        return True
    assert isinstance(event, Command), "the end of APPEND is append()'s"
    tag, name = event.tag, event.verb
    connection.where = name
    if name == "LOGOUT":
        connection.count(name, good=True)
        session.send(untagged("BYE", "Logging out") + tagged(tag, "OK", "Logout completed."))
        await connection.drain()
        return False
    verb = VERBS.get(name)
    if verb is None:
        connection.count(name if name in BEFORE_LOGIN else "unknown", good=False)
        text = "Already logged in" if name in BEFORE_LOGIN else f"Unknown command {name[:40]}"
        if name == "APPEND":  # without a literal, or with one of more octets than there are numbers for
            text = "Invalid arguments"
        await connection.refuse(tag, text)
    elif verb.selected and session.selection is None:
        connection.count(name, good=False)
        await connection.refuse(tag, NOT_SELECTED)
    else:
        await _answer(session, tag, name, verb.answer(session, event))
    return True


async def _answer(session: ImapSession, tag: str, name: str, answer: Awaitable[Done]) -> None:
    connection = session.connection
    verb = VERBS.get(name)
    fixed = verb is not None and verb.fixed
    try:
        done = await answer
        # Commands in line behind a FETCH, STORE or SEARCH are answered first, and those behind others find the sequence
        # numbers they were written for.
        uid, idle = name.startswith("UID "), connection.idle
        if idle or not (fixed or uid):
            await tell_changes(session, expunges=not fixed and (idle or name in ASKING), with_uid=uid)
    except ImapNameError as error:
        done = Done("NO", f"{error}.")
    except ImapSyntaxError as error:
        connection.count(name, good=False)
        await connection.refuse(tag, str(error))
        return
    except MailboxFault as fault:
        session.log.warning(f"{session.namaddr}: {name}: {fault}")
        done = FAULT
    connection.errors = 0
    connection.count(name, good=done.status == "OK")
    session.send(tagged(tag, done.status, done.text, done.code))
    if connection.full:
        await connection.drain()
