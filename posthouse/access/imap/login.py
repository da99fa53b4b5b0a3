"""LOGIN and AUTHENTICATE: from credentials to the account's login.

Failures are logged in the words that fail2ban reads: "SASL PLAIN authentication failed: …,
sasl_username=…", and each costs its client a growing delay.

Standards: RFC 3501 sections 6.2.2 and 6.2.3; RFC 4959 (SASL-IR); RFC 4616 (PLAIN); RFC 5530 (codes).
"""

from dataclasses import dataclass

from posthouse.access.imap.connection import Connection
from posthouse.access.imap.service import ImapService
from posthouse.access.login import LoginRetry
from posthouse.host.log import ProcessLog
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.reader import Command
from posthouse.wire.sasl import SERVERS, Credentials, decode_base64

FAILED_LOGIN_DELAY = 2.0
"""Seconds before a wrong password is answered; each further one on a connection doubles it."""
DELAY_LIMIT = 15.0
FAILURE_LIMIT = 5
"""Wrong passwords on one connection; then it ends."""
ANSWER_LIMIT = 12_288
"""Octets of one SASL answer, as smtpd_sasl_response_limit."""

NO_REASON = "(reason unavailable)"


@dataclass(frozen=True, slots=True)
class Denied:
    """Not logged in: the response to the command."""

    status: str
    text: str
    code: str = ""


PRIVACY = Denied("NO", "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "PRIVACYREQUIRED")
FAILED = Denied("NO", "Authentication failed.", "AUTHENTICATIONFAILED")
UNAVAILABLE = Denied("NO", "Temporary authentication failure.", "UNAVAILABLE")


async def read_login(command: Command) -> Credentials:
    """LOGIN's arguments. Raises ImapSyntaxError."""
    cursor = command.cursor
    cursor.space()
    login = cursor.text("user name")
    cursor.space()
    password = cursor.text("password")
    cursor.end()
    return Credentials(login, password)


async def read_authenticate(
    connection: Connection, command: Command, mechanisms: tuple[str, ...]
) -> tuple[str, Credentials | None] | Denied:
    """AUTHENTICATE's exchange: mechanism and credentials (None: none that make sense). Raises ImapSyntaxError."""
    cursor = command.cursor
    cursor.space()
    mechanism = cursor.word("mechanism")
    response: bytes | None = None
    if not cursor.at_end():
        cursor.space()
        response = cursor.data[cursor.at :].strip()
    if mechanism not in SERVERS or mechanism not in mechanisms:
        return Denied("NO", "Unsupported authentication mechanism.", "CANNOT")
    server = SERVERS[mechanism]()
    if response is None:
        challenge = server.step(None)
    else:
        if mechanism == "LOGIN":
            server.step(None)
        data = decode_base64(response.decode("ascii", "replace"))
        if data is None:
            raise ImapSyntaxError("Invalid base64 data in initial response")
        challenge = server.step(data)
    while challenge is not None:
        connection.send(b"+ " + challenge.encode("ascii") + b"\r\n")
        line = await connection.line()
        if line.strip() == b"*":
            return Denied("BAD", "Authentication aborted by client.")
        data = decode_base64(line.decode("ascii", "replace").strip()) if line.strip() else b""
        if data is None or len(line) > ANSWER_LIMIT:
            raise ImapSyntaxError("Invalid base64 data in response")
        challenge = server.step(data)
    return mechanism, server.credentials


async def decide(
    service: ImapService, log: ProcessLog, namaddr: str, mechanism: str, credentials: Credentials | None
) -> str | Denied:
    """The account's login, or why not (logged)."""
    if credentials is None:
        log.warning(f"{namaddr}: SASL {mechanism} authentication failed: Invalid response, sasl_username=(unavailable)")
        return FAILED
    name = credentials.login
    reason = NO_REASON
    account = None
    if service.login is None:
        reason = "no account database"
    elif credentials.acting_for not in ("", name):
        reason = "authorization identity differs"  # RFC 4616 section 2: nobody here acts for others
    else:
        try:
            account = await service.login.authenticate(name, credentials.password)
        except LoginRetry as error:
            log.warning(f"{namaddr}: SASL {mechanism} authentication failed: {error}, sasl_username={name}")
            return UNAVAILABLE
    if account is None:
        log.warning(f"{namaddr}: SASL {mechanism} authentication failed: {reason}, sasl_username={name}")
        return FAILED
    return account
