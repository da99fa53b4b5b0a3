"""AUTH: PLAIN and LOGIN by ourselves, or whatever a SASL server runs.

Failures are logged in the words that fail2ban reads: "SASL PLAIN authentication failed: …,
sasl_username=…".

Standards: RFC 4954 sections 4 and 6; RFC 4616 (PLAIN).
"""

from dataclasses import replace

from posthouse.session.smtp.mail import HELLO_FIRST
from posthouse.session.smtp.seams import (
    AuthenticationRefused,
    AuthenticationRetry,
    Challenge,
    LoggedIn,
    MechanismServer,
    SaslStep,
)
from posthouse.session.smtp.session import SessionEnded, SmtpSession
from posthouse.wire.sasl import SERVERS, Credentials, decode_base64, is_base64
from posthouse.wire.smtp.reply import Reply

NOT_ENABLED = Reply(503, "5.5.1", "Error: authentication not enabled")
ALREADY = Reply(503, "5.5.1", "Error: already authenticated")
SYNTAX = Reply(501, "5.5.4", "Syntax: AUTH mechanism")
ABORTED = Reply(501, "5.7.0", "Authentication aborted")
LINE_TOO_LONG = Reply(500, "5.5.6", "SASL response limit exceeded")
SUCCESS = b"235 2.7.0 Authentication successful\r\n"

NO_REASON = "(reason unavailable)"
SHOWN = 30
"""Characters of an overlong response that are logged."""


async def auth(session: SmtpSession, argument: str) -> bytes | Reply:
    """AUTH mechanism [initial-response]."""
    service, settings = session.service, session.settings
    tls = session.tls is not None
    if settings.smtpd_helo_required and not session.client.helo:
        return HELLO_FIRST
    await service.learn_mechanisms()
    if not service.auth_offered(tls=tls) or "AUTH" in session.discard:
        return NOT_ENABLED
    refusal = session.dialogue.refusal("AUTH")
    if refusal is not None:
        return refusal
    if session.client.sasl_username:
        return ALREADY
    words = argument.split()
    if not 1 <= len(words) <= 2:
        return SYNTAX
    limit = settings.smtpd_client_auth_rate_limit
    if limit and await session.over_limit("auth", limit, "AUTH command"):
        return Reply(450, "4.7.1", f"Error: too many AUTH commands from {session.client.address}")
    mechanism = words[0]  # as the client wrote it: so it stands in the log
    if mechanism.upper() not in service.usable_mechanisms(tls=tls, announced=False):
        return _failed(session, mechanism, "Invalid authentication mechanism")
    initial = words[1] if len(words) == 2 else None
    if service.sasl_server is not None:
        return await _served(session, service.sasl_server, mechanism, initial)
    outcome = await _exchange(session, mechanism, initial)
    if isinstance(outcome, Reply):
        return outcome
    return await _decide(session, mechanism, outcome)


async def _exchange(session: SmtpSession, mechanism: str, initial: str | None) -> Credentials | Reply:
    server = SERVERS[mechanism.upper()]()
    response = initial
    challenge: str | None = None
    if response is None:
        challenge = server.step(None)
    elif (data := decode_base64(response)) is None:
        return _failed(session, mechanism, "Invalid base64 data in initial response")
    else:
        if mechanism.upper() == "LOGIN":
            server.step(None)
        challenge = server.step(data)
    while challenge is not None:
        session.send(f"334 {challenge}\r\n".encode("ascii"))
        line = await _read_response(session, mechanism)
        if isinstance(line, Reply):
            return line
        data = decode_base64(line) if line else b""
        if data is None:
            return _failed(session, mechanism, "Invalid base64 data in continued response")
        challenge = server.step(data)
    if server.credentials is None:
        return _failed(session, mechanism, "Invalid response")
    return server.credentials


async def _served(session: SmtpSession, server: MechanismServer, mechanism: str, initial: str | None) -> bytes | Reply:
    """Words go to and fro between client and SASL server until the server has decided."""
    if initial is not None and not is_base64(initial):
        return _failed(session, mechanism, "Invalid base64 data in initial response")
    exchange = server.exchange(
        mechanism,
        server=(session.server_address.removeprefix("::ffff:"), session.server_port),
        client=(session.client.address, session.client.port),
        tls=session.tls is not None,
    )
    decided = False
    try:
        step: SaslStep = await exchange.begin(initial)
        while isinstance(step, Challenge):
            session.send(f"334 {step.text}\r\n".encode("ascii"))
            line = await _read_response(session, mechanism)
            if isinstance(line, Reply):
                return line
            if not is_base64(line):
                return _failed(session, mechanism, "Invalid base64 data in continued response")
            step = await exchange.go_on(line)
        decided = True
    except AuthenticationRetry as error:
        decided = True
        return _put_off(session, mechanism, error, "")
    finally:
        if not decided:
            exchange.cancel()
    if isinstance(step, LoggedIn):
        return _logged_in(session, mechanism, step.login)
    return _failed(session, mechanism, step.reason or NO_REASON, step.login)


async def _read_response(session: SmtpSession, mechanism: str) -> str | Reply:
    """The client's response; the reply that ends it all when there is none."""
    line = await _read_line(session)
    if line is None:
        return LINE_TOO_LONG
    if line == "*":
        session.log.warning(f"{session.namaddr}: SASL {mechanism} authentication aborted")
        return ABORTED
    return line


async def _read_line(session: SmtpSession) -> str | None:
    """The client's next line; None when it is longer than smtpd_sasl_response_limit."""
    limit = session.settings.smtpd_sasl_response_limit
    session.dialogue.widen(limit)
    try:
        while True:
            line = session.dialogue.next_line()
            if line is not None:
                text = line.decode("ascii", "replace").strip()
                if session.dialogue.too_long:
                    session.log.warning(f"{session.namaddr}: request longer than {limit}: {text[:SHOWN]}...")
                    return None
                return text
            session.dialogue.receive(await session.read())
    except SessionEnded:
        session.where = "AUTH"
        raise
    finally:
        session.dialogue.widen(session.settings.line_length_limit)


async def _decide(session: SmtpSession, mechanism: str, credentials: Credentials) -> bytes | Reply:
    authenticator = session.service.authenticator
    assert authenticator is not None
    if credentials.acting_for not in ("", credentials.login):
        # RFC 4616 section 2: nobody here acts for others
        return _failed(session, mechanism, "authorization identity differs", credentials.login)
    try:
        outcome = await authenticator.authenticate(credentials.login, credentials.password)
    except AuthenticationRetry as error:
        return _put_off(session, mechanism, error, credentials.login)
    if outcome is None:
        return _failed(session, mechanism, NO_REASON, credentials.login)
    if isinstance(outcome, AuthenticationRefused):
        return _failed(session, mechanism, outcome.reason or NO_REASON, outcome.login or credentials.login)
    return _logged_in(session, mechanism, outcome)


def _logged_in(session: SmtpSession, mechanism: str, login: str) -> bytes:
    session.client = replace(session.client, sasl_method=mechanism, sasl_username=login)
    session.stage.authenticated(login, mechanism, "")
    return SUCCESS


def _put_off(session: SmtpSession, mechanism: str, error: AuthenticationRetry, login: str) -> Reply:
    reason = str(error) or NO_REASON
    _log_failure(session, mechanism, reason, error.login or login)
    return Reply(454, "4.7.0", f"Temporary authentication failure: {reason}")


def _failed(session: SmtpSession, mechanism: str, reason: str, login: str = "") -> Reply:
    _log_failure(session, mechanism, reason, login)
    session.record("refused", "", f"reject: 535 5.7.8 AUTH {mechanism} {login}: {reason}")
    return Reply(535, "5.7.8", f"Error: authentication failed: {reason}")


def _log_failure(session: SmtpSession, mechanism: str, reason: str, login: str) -> None:
    session.auth_login = login = login or session.auth_login
    session.log.warning(
        f"{session.namaddr}: SASL {mechanism} authentication failed: {reason}, sasl_username={login or '(unavailable)'}"
    )
