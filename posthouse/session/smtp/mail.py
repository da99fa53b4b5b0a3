"""MAIL: begins a transaction.

Standards: RFC 5321 section 4.1.1.2; RFC 1870 section 6.1 (a declared size is refused at once).
"""

from dataclasses import replace

from posthouse.session.smtp.client_line import log_client
from posthouse.session.smtp.proxy import begin_filtered
from posthouse.session.smtp.session import SmtpSession
from posthouse.session.smtp.transaction import Transaction
from posthouse.wire.smtp.command import BAD_SENDER, BadPath, MailCommand, parse_mail
from posthouse.wire.smtp.dialogue import State
from posthouse.wire.smtp.reply import Reply

MAIL_OK = b"250 2.1.0 Ok\r\n"
HELLO_FIRST = Reply(503, "5.5.1", "Error: send HELO/EHLO first")
TOO_LARGE = Reply(552, "5.3.4", "Message size exceeds fixed limit")
UNDECLARED_UTF8 = Reply(553, "5.6.7", "Must declare SMTPUTF8 to send unicode address")


async def mail(session: SmtpSession, argument: str) -> bytes | Reply:
    """MAIL FROM:<address> [parameters]."""
    settings = session.settings
    if settings.smtpd_helo_required and not session.client.helo:
        return HELLO_FIRST
    refusal = session.dialogue.refusal("MAIL")
    if refusal is not None:
        return refusal
    command = parse_mail(
        argument,
        strict=settings.strict_rfc821_envelopes,
        dsn="DSN" not in session.discard,
        smtputf8=settings.smtputf8_enable and "SMTPUTF8" not in session.discard,
        verp_filter=settings.verp_delimiter_filter if session.verp_authorized else "",
    )
    if isinstance(command, MailCommand) and command.sender.startswith("-") and not settings.allow_min_user:
        command = BadPath(BAD_SENDER, command.path)
    if not isinstance(command, MailCommand):
        if isinstance(command, BadPath):
            if not command.unclosed:
                session.log.warning(f"Illegal address syntax from {session.namaddr} in MAIL command: {command.path}")
            return command.reply
        return command
    if command.verp == "?":
        command = replace(command, verp=settings.default_verp_delimiters)
    if settings.strict_smtputf8 and not command.smtputf8 and not command.sender.isascii():
        return UNDECLARED_UTF8
    limit = settings.smtpd_client_message_rate_limit
    if limit and await session.over_limit("message", limit, "Message delivery request"):
        return Reply(450, "4.7.1", f"Error: too much mail from {session.client.address}")
    limit = settings.message_size_limit
    if limit and command.size > limit:
        return _too_much(session, command, TOO_LARGE)
    if session.service.room is not None:
        refused = await session.service.room(command.size)
        if refused is not None:
            reply = _too_much(session, command, Reply(refused.code, refused.status, refused.text))
            for short in refused.evidence:
                session.log.warning(f"not enough free space in mail queue: {short.fact}")
            return reply
    session.transaction = Transaction(command, mail=argument)
    client = session.client
    if client.sasl_username and client.sasl_sender != command.auth:
        session.client = replace(client, sasl_sender=command.auth)
        session.stage.authenticated(client.sasl_username, client.sasl_method, command.auth)
    verdict = await session.stage.mail(command.sender, size=command.size, body=command.body, smtputf8=command.smtputf8)
    refusal = session.judge(verdict, "mail", "MAIL")
    if refusal is None and session.milters is not None:
        refusal = await session.milters.mail(argument)
    if refusal is not None:
        session.reset()
        return refusal
    session.dialogue.state = State.MAIL
    if not settings.smtpd_delay_open_until_valid_rcpt:
        refusal = await open_door(session, session.transaction)
        if refusal is not None:
            session.reset()
            return refusal
    return MAIL_OK


def _too_much(session: SmtpSession, command: MailCommand, reply: Reply) -> Reply:
    """Refuse a message before its transaction begins. Postfix's log line names the sender of one that is too large, and
    none where there is no room."""
    if reply is TOO_LARGE:
        session.transaction = Transaction(command)
    session.refuse(reply, "MAIL")
    session.transaction = Transaction(command)
    session.record("refused", "", f"{'defer' if reply.code < 500 else 'reject'}: {' '.join(reply.lines())}")
    session.reset()
    return reply


async def open_door(session: SmtpSession, transaction: Transaction) -> Reply | None:
    """Begin the message: it has a queue id from here on, and its client is logged under it. With a filter before the
    queue it has none, and the reply says why the filter cannot be reached."""
    if session.service.proxy is not None:
        filtered = begin_filtered(session, transaction, session.service.proxy)
        refused = await filtered.open()
        if refused is not None:
            transaction.rollback()
        return refused
    transaction.intake = session.service.intake.begin()
    session.stage.facts.queue_id = queue_id = transaction.intake.queue_id
    log_client(session, queue_id)
    return None
