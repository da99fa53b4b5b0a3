"""USER and PASS, APOP, AUTH: the verbs that log in.

A failure is told late, the later the more there were, and always in the same words, so that nobody
learns which logins exist. It is logged in the words that fail2ban's filter for Postfix reads:
USER and PASS as SASL PLAIN, which they are but for the packing, and APOP as the challenge of its
kind that the filter knows, CRAM-MD5.

Standards: RFC 1939 section 7; RFC 5034 section 4 (AUTH); RFC 4616 (PLAIN); RFC 3206 section 5.
"""

from posthouse.access.login import LoginRetry
from posthouse.access.pop3.capabilities import MECHANISMS
from posthouse.access.pop3.guest import Guest
from posthouse.wire.pop3.apop import digest_fits
from posthouse.wire.pop3.command import Command
from posthouse.wire.pop3.reply import AUTH, SYS_TEMP, Reply, error, listing, ok
from posthouse.wire.sasl import SERVERS, Credentials, decode_base64

STLS_FIRST = error("Must issue a STLS command first")
USER_FIRST = error("USER first")
NAME_TAKEN = ok("Send PASS")
NO_APOP = error("APOP is not available")
FAILED = error("Authentication failed", AUTH)
TRY_LATER = error("Temporary authentication failure", SYS_TEMP)
UNKNOWN_MECHANISM = error("Unknown SASL mechanism")
ABORTED = error("Authentication aborted")
BAD_BASE64 = error("Invalid base64 data")
RESPONSE_TOO_LONG = error("SASL response too long")

MALFORMED = "Invalid base64 data in response"


class LoginSucceeded(Exception):
    """The client is who it says; the maildrop is not opened yet."""

    def __init__(self, login: str, method: str) -> None:
        super().__init__(login)
        self.login = login
        self.method = method


async def user(guest: Guest, command: Command) -> Reply:
    """USER: any name is welcome, so that nobody learns which exist."""
    if not guest.login_allowed:
        return STLS_FIRST
    guest.user = command.arguments[0]
    return NAME_TAKEN


async def pass_(guest: Guest, command: Command) -> Reply:
    """PASS. Another try needs another USER (RFC 1939 section 7)."""
    if not guest.login_allowed:
        return STLS_FIRST
    if not guest.user:
        return USER_FIRST
    name, guest.user = guest.user, ""
    return await _check(guest, Credentials(name, command.arguments[0]), "PLAIN", "USER")


async def apop(guest: Guest, command: Command) -> Reply:
    """APOP, for accounts whose password is kept in plain."""
    if not guest.login_allowed:
        return STLS_FIRST
    if not guest.timestamp:
        return NO_APOP
    name, answer = command.arguments
    try:
        secret = await guest.service.login.secret(name)
        # a digest is made for unknown names, too: they take as long
        fits = digest_fits(guest.timestamp, secret or guest.timestamp, answer) and secret is not None
        login = await guest.service.login.authenticate(name, secret) if fits and secret is not None else None
    except LoginRetry as failure:
        return _later(guest, name, failure)
    if login is None:
        return await _failed(guest, "CRAM-MD5", "authentication failure", name)
    raise LoginSucceeded(login, "APOP")


async def auth(guest: Guest, command: Command) -> Reply | bytes:
    """AUTH mechanism [initial-response]; without a mechanism the list of them, for clients older than CAPA."""
    if not guest.login_allowed:
        return STLS_FIRST
    if not command.arguments:
        return listing(ok("Mechanisms follow"), MECHANISMS)
    mechanism = command.arguments[0].upper()
    if mechanism not in MECHANISMS:
        return UNKNOWN_MECHANISM
    outcome = await _exchange(guest, mechanism, command.arguments[1] if len(command.arguments) == 2 else None)
    if isinstance(outcome, Reply):
        return outcome
    return await _check(guest, outcome, mechanism, mechanism)


async def _exchange(guest: Guest, mechanism: str, initial: str | None) -> Credentials | Reply:
    server = SERVERS[mechanism]()
    if initial is None or mechanism == "LOGIN":
        challenge = server.step(None)
    if initial is not None:
        data = decode_base64(initial)
        if data is None:
            return await _failed(guest, mechanism, MALFORMED, "", BAD_BASE64)
        challenge = server.step(data)
    while challenge is not None:
        guest.conversation.send(f"+ {challenge}\r\n".encode("ascii"))
        line = await guest.conversation.next_response()
        if line is None:
            return RESPONSE_TOO_LONG
        if line == b"*":
            return ABORTED
        data = decode_base64(line.decode("ascii", "replace")) if line else b""
        if data is None:
            return await _failed(guest, mechanism, MALFORMED, "", BAD_BASE64)
        challenge = server.step(data)
    return server.credentials or await _failed(guest, mechanism, "Invalid response", "")


async def _check(guest: Guest, credentials: Credentials, mechanism: str, method: str) -> Reply:
    """Ask; raises LoginSucceeded."""
    if credentials.acting_for not in ("", credentials.login):
        # RFC 4616 section 2: nobody here acts for others
        return await _failed(guest, mechanism, "authorization identity differs", credentials.login)
    try:
        login = await guest.service.login.authenticate(credentials.login, credentials.password)
    except LoginRetry as failure:
        return _later(guest, credentials.login, failure)
    if login is None:
        return await _failed(guest, mechanism, "authentication failure", credentials.login)
    raise LoginSucceeded(login, method)


def _later(guest: Guest, name: str, failure: LoginRetry) -> Reply:
    """Not in fail2ban's words: it is no fault of the client's."""
    guest.log.warning(f"{guest.client}: login of <{name}> deferred: {failure}")
    return TRY_LATER


async def _failed(guest: Guest, mechanism: str, reason: str, name: str, reply: Reply = FAILED) -> Reply:
    guest.log.warning(
        f"{guest.client}: SASL {mechanism} authentication failed: {reason}, sasl_username={name or '(unavailable)'}"
    )
    await guest.conversation.flush()
    await guest.service.sleep(guest.service.clients.failed(guest.address))
    return reply
