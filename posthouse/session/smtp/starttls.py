"""STARTTLS, and TLS from the first byte (smtpd_tls_wrappermode).

What the client said before is forgotten with the handshake: its name, its transaction, its
login. Bytes that it sent behind STARTTLS in plain text are dropped by the stream.

Standards: RFC 3207 sections 4 and 4.2; RFC 8314 section 3.3 (implicit TLS).
"""

from dataclasses import replace

from posthouse.net.stream import StreamTimeout, TlsFailed
from posthouse.session.smtp.session import SessionEnded, SmtpSession
from posthouse.wire.smtp.dialogue import Dialogue
from posthouse.wire.smtp.reply import Reply

SYNTAX = Reply(501, "5.5.4", "Syntax: STARTTLS")
ACTIVE = Reply(554, "5.5.1", "Error: TLS already active")
NOT_OFFERED = Reply(502, "5.5.1", "Error: command not implemented")
UNAVAILABLE = Reply(454, "4.7.0", "TLS not available due to local problem")
GO_AHEAD = b"220 2.0.0 Ready to start TLS\r\n"


async def starttls(session: SmtpSession, argument: str) -> bytes | Reply:
    """STARTTLS: the reply is sent here, for the handshake follows it."""
    service = session.service
    if argument:
        return SYNTAX
    if session.tls is not None:
        return ACTIVE
    if not service.settings.tls_offered or "STARTTLS" in session.discard:
        return NOT_OFFERED
    if service.tls_context is None:
        return UNAVAILABLE
    await session.flush()
    session.stream.write(GO_AHEAD)  # no suspension between this and start_tls(): what has come by now is plain text
    await handshake(session)
    session.reset()
    if session.milters is not None and session.client.helo:
        session.milters.reset()
    session.client = replace(session.client, helo="", protocol="SMTP", sasl_method="", sasl_username="", sasl_sender="")
    session.dialogue = Dialogue(session.settings.line_length_limit)
    return b""


async def handshake(session: SmtpSession) -> None:
    """Shake hands, log, tell policy. Raises SessionEnded."""
    service, settings = session.service, session.settings
    context = service.tls_context
    assert context is not None
    if settings.smtpd_tls_loglevel > 1:
        session.log.info(f"setting up TLS connection from {session.namaddr}")
    try:
        info = await session.stream.start_tls(context, server_side=True, timeout=settings.smtpd_starttls_timeout)
    except TlsFailed as error:
        lost = str(error) == "lost connection"
        session.log.info(f"SSL_accept error from {session.namaddr}: {'lost connection' if lost else '-1'}")
        if not lost:
            session.log.warning(f"TLS library problem: {error}")
        raise SessionEnded("lost connection") from None
    except StreamTimeout:
        session.log.info(f"SSL_accept error from {session.namaddr}: Connection timed out")
        raise SessionEnded("lost connection") from None
    session.tls = info
    if info.resumed and settings.smtpd_tls_loglevel > 1:
        session.log.info(f"{session.namaddr}: Reusing old session (RFC 5077 session ticket)")
    if settings.smtpd_tls_loglevel > 0:
        trust = "Anonymous" if info.peer_certificate is None else "Trusted" if info.verified else "Untrusted"
        session.log.info(f"{trust} TLS connection established from {session.namaddr}: {info.words}")
    session.stage.tls(info)
    limit = settings.smtpd_client_new_tls_session_rate_limit
    if limit and await session.over_limit("tls", limit, "New TLS session"):
        session.send(
            bytes(Reply(421, "4.7.0", f"{settings.myhostname} Error: too many new TLS sessions from {session.namaddr}"))
        )
        await session.flush()
        raise SessionEnded("")
