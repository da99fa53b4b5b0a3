"""The greeting, and what must be known of a client before it.

Standards: RFC 5321 sections 3.1 and 4.3.1 (a 554 greeting; the session may go on to QUIT).
"""

from posthouse.session.smtp.milters import begin
from posthouse.session.smtp.seams import HostMatch
from posthouse.session.smtp.session import SmtpSession
from posthouse.tables.table import TableRetry


async def know(session: SmtpSession) -> None:
    """Look the client up in the lists of those who are treated otherwise."""
    service = session.service
    session.exempt = await _listed(service.limit_exceptions, session)
    session.auth_exempt = await _listed(service.sasl_exceptions, session)
    session.verp_authorized = await _listed(service.verp, session)
    session.xforward_authorized = await _listed(service.xforward, session)
    session.xclient_authorized = await _listed(service.xclient, session)


async def _listed(hosts: HostMatch, session: SmtpSession) -> bool:
    """Whether the client is in a list. One that cannot be asked grants nothing."""
    client = session.client
    try:
        return await hosts.matches("" if client.name == "unknown" else client.name, client.address) is not None
    except TableRetry:
        return False


async def greet(session: SmtpSession, stage_word: str = "CONNECT") -> bool:
    """Say 220, or what smtpd_client_restrictions says instead; False when the connection must end with it."""
    refusal = session.judge(await session.stage.connect(stage_word), "connect", stage_word)
    session.access_denied = refusal is not None
    if refusal is None and session.service.milters is not None:
        session.milters = await begin(session)
        if session.milters is not None:
            refusal = await session.milters.connect()
    if refusal is None:
        session.send(f"220 {session.settings.smtpd_banner}\r\n".encode("utf-8", "surrogateescape"))
        return True
    session.error_count += 1
    await session.answer(refusal)
    if refusal.code in (421, 521):
        await session.flush()
        return False
    return True
