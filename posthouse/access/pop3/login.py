"""USER, PASS, APOP, AUTH: who the client is. STLS: and that nobody listens.

A failed login takes FAILED_LOGIN_SECONDS and is logged in smtpd's words, so that fail2ban's filters for Postfix count
it. Whether a login exists is never told.

Standards: RFC 1939 section 7 (USER, PASS, APOP); RFC 5034 (AUTH); RFC 2595 section 4 (STLS); RFC 3206 (AUTH, SYS/TEMP).
"""

from posthouse.access.pop3.maildrop import MaildropRefused
from posthouse.access.pop3.session import FAILED_LOGIN_SECONDS, WRITE_SECONDS, Pop3Session, SessionEnded
from posthouse.accounts.account import Account, AccountRetry
from posthouse.mailbox.store import MailboxFault
from posthouse.net.stream import StreamClosed, StreamTimeout, TlsFailed
from posthouse.wire.pop3.command import Command, State, TooLong
from posthouse.wire.pop3.reply import apop_fits, challenge, err, ok
from posthouse.wire.sasl import SERVERS, decode_base64

NEED_TLS = err("Plaintext authentication disallowed on non-secure connections: use STLS", "AUTH")
FAILED = err("Authentication failed", "AUTH")
SASL_LINE_LIMIT = 12288
"""RFC 5034 section 4: octets of a response line."""


async def user(session: Pop3Session, command: Command) -> bytes:
    """USER name."""
    if not command.text:
        return err("Syntax: USER name")
    if not session.may_send_password:
        return NEED_TLS
    session.user = command.text
    return ok()


async def password(session: Pop3Session, command: Command) -> bytes:
    """PASS string: all that follows the space, blanks too."""
    if session.user is None:
        return err("USER first")
    if not session.may_send_password:
        return NEED_TLS
    name, session.user = session.user, None
    return await _check(session, "LOGIN", name, command.text)


async def apop(session: Pop3Session, command: Command) -> bytes:
    """APOP name digest: for accounts whose password is kept plainly."""
    words = command.arguments
    if len(words) != 2:
        return err("Syntax: APOP name digest")
    name, digest = words
    try:
        secret = await session.service.logins.secret(name)
        if secret is None or not apop_fits(digest, session.timestamp, secret):
            return await _failed(session, "APOP", name)
        account = await session.service.logins.find(name)
    except AccountRetry as error:
        return _retry(session, "APOP", error)
    return await _failed(session, "APOP", name) if account is None else await _open(session, "APOP", account)


async def auth(session: Pop3Session, command: Command) -> bytes:
    """AUTH mechanism [initial-response]; AUTH alone lists the mechanisms, as old clients ask."""
    words = command.arguments
    offered = mechanisms(session)
    if not words:
        return ok() + b"".join(f"{name}\r\n".encode() for name in offered) + b".\r\n"
    name = words[0].upper()
    if len(words) > 2:
        return err("Syntax: AUTH mechanism [initial-response]")
    if name in SERVERS and name not in offered:
        return NEED_TLS
    if name not in offered:
        return err("Unsupported authentication mechanism")
    server = SERVERS[name]()
    response = decode_base64(words[1]) if len(words) == 2 else None
    if len(words) == 2 and response is None:
        return err("Invalid base64 data in initial response")
    while (asked := server.step(response)) is not None:
        session.send(challenge(asked))
        line = await _response(session)
        if line == b"*":
            return err("Authentication cancelled")
        response = decode_base64(line.decode("ascii", "replace")) if line is not None else None
        if response is None:
            return err("Invalid base64 data in response")
    credentials = server.credentials
    if credentials is None:
        return err("Invalid authentication data")
    if credentials.acting_for not in ("", credentials.login):
        return await _failed(session, name, credentials.login)
    return await _check(session, name, credentials.login, credentials.password)


def mechanisms(session: Pop3Session) -> list[str]:
    """What AUTH takes on this connection now."""
    return list(SERVERS) if session.may_send_password else []


async def stls(session: Pop3Session, command: Command) -> bytes | None:
    """STLS: TLS from here on. What was sent behind it in plain text is thrown away, and what USER said forgotten."""
    context = session.service.tls
    if command.text:
        return err("Syntax: STLS")
    if session.encrypted:
        return err("TLS is active already")
    if context is None:
        return err("TLS is not available", "SYS/PERM")
    if session.reader.discard():
        session.log.info(f"improper command pipelining after STLS from {session.namaddr}")
    session.user = None
    session.send(ok("Begin TLS negotiation"))
    await session.flush()
    await start_tls(session)
    return None


async def start_tls(session: Pop3Session) -> None:
    """Hand-shake. Raises SessionEnded."""
    context = session.service.tls
    assert context is not None
    try:
        info = await session.stream.start_tls(context, server_side=True, timeout=WRITE_SECONDS)
    except TlsFailed as error:
        session.log.info(f"SSL_accept error from {session.namaddr}: {error}")
        raise SessionEnded("lost connection") from error
    except StreamTimeout as error:
        raise SessionEnded("timeout") from error
    except StreamClosed as error:
        raise SessionEnded("lost connection") from error
    session.log.info(
        f"Anonymous TLS connection established from {session.namaddr}: {info.protocol} with cipher "
        f"{info.cipher} ({info.bits}/{info.bits} bits)"
    )


async def _response(session: Pop3Session) -> bytes | None:
    """The client's answer to a challenge; None when it is too long."""
    limit, session.reader.limit = session.reader.limit, SASL_LINE_LIMIT
    try:
        line = await session.next_line()
    finally:
        session.reader.limit = limit
    return None if isinstance(line, TooLong) else line


async def _check(session: Pop3Session, method: str, name: str, given: str) -> bytes:
    try:
        account = await session.service.logins.authenticate(name, given)
    except AccountRetry as error:
        return _retry(session, method, error)
    return await _failed(session, method, name) if account is None else await _open(session, method, account)


async def _failed(session: Pop3Session, method: str, name: str) -> bytes:
    session.log.warning(
        f"{session.namaddr}: SASL {method} authentication failed: authentication failure, sasl_username={name}"
    )
    await session.service.pause(FAILED_LOGIN_SECONDS)
    return FAILED


def _retry(session: Pop3Session, method: str, error: AccountRetry) -> bytes:
    session.log.warning(f"{session.namaddr}: SASL {method} authentication failed: {error}")
    return err("Temporary authentication failure, try again later", "SYS/TEMP")


async def _open(session: Pop3Session, method: str, account: Account) -> bytes:
    try:
        maildrop = await session.service.maildrops.open(account)
    except MailboxFault as error:
        session.log.warning(f"{session.namaddr}: cannot open the mailbox of {account.login}: {error}")
        return err("The mailbox cannot be opened now", "SYS/TEMP")
    if isinstance(maildrop, MaildropRefused):
        session.log.warning(f"{session.namaddr}: cannot open the mailbox of {account.login}: {maildrop.text}")
        return err(maildrop.text, maildrop.code)
    session.account, session.maildrop, session.state = account, maildrop, State.TRANSACTION
    session.log.info(f"login: client={session.namaddr}, sasl_method={method}, sasl_username={account.login}")
    return ok("Logged in")
