"""RCPT: one more recipient; the first that is accepted gives the message its queue id.

Standards: RFC 5321 sections 4.1.1.3 and 4.5.3.1.10 (too many recipients).
"""

from posthouse.envelope.envelope import Recipient
from posthouse.session.smtp.mail import UNDECLARED_UTF8, open_door
from posthouse.session.smtp.session import SmtpSession
from posthouse.wire.smtp.command import BAD_RECIPIENT, BadNotify, BadPath, RcptCommand, parse_rcpt
from posthouse.wire.smtp.dialogue import NEED_MAIL, State
from posthouse.wire.smtp.reply import Reply

RCPT_OK = b"250 2.1.5 Ok\r\n"
TOO_MANY = Reply(452, "4.5.3", "Error: too many recipients")


async def rcpt(session: SmtpSession, argument: str) -> bytes | Reply:
    """RCPT TO:<address> [parameters]."""
    settings = session.settings
    transaction = session.transaction
    if transaction is None:
        return NEED_MAIL
    refusal = session.dialogue.refusal("RCPT")
    if refusal is not None:
        return refusal
    command = parse_rcpt(argument, strict=settings.strict_rfc821_envelopes, dsn="DSN" not in session.discard)
    if isinstance(command, RcptCommand) and command.recipient.startswith("-") and not settings.allow_min_user:
        command = BadPath(BAD_RECIPIENT, command.path)
    if not isinstance(command, RcptCommand):
        session.dialogue.recipient_refused()
        if isinstance(command, BadNotify):
            session.log.warning(f'unknown DSN NOTIFY command value "{command.word}" in "{command.value}"')
            return command.reply
        if isinstance(command, BadPath):
            if not command.unclosed:
                session.log.warning(f"Illegal address syntax from {session.namaddr} in RCPT command: {command.path}")
            return command.reply
        return command
    if len(transaction.recipients) >= settings.smtpd_recipient_limit:
        transaction.overshoot += 1
        if transaction.overshoot <= settings.smtpd_recipient_overshoot_limit:
            return bytes(TOO_MANY)  # no error of the client's: it will come again with the rest
        return TOO_MANY
    if settings.strict_smtputf8 and not transaction.command.smtputf8 and not command.recipient.isascii():
        return UNDECLARED_UTF8
    limit = settings.smtpd_client_recipient_rate_limit
    if limit and await session.over_limit("recipient", limit, "Recipient address"):
        session.dialogue.recipient_refused()
        return Reply(450, "4.7.1", f"Error: too many recipients from {session.client.address}")
    recipient = command.recipient
    transaction.trying = recipient
    verdict = await session.stage.rcpt(recipient, notify=command.notify, orcpt=command.orcpt)
    refusal = session.judge(verdict, "rcpt", "RCPT", recipient=recipient)
    if session.milters is not None:
        decided = await session.milters.rcpt(argument, recipient, refusal)
        if refusal is None and decided is not None:
            refusal = decided
            session.stage.facts.accepted -= 1
    transaction.trying = ""
    if refusal is not None:
        session.dialogue.recipient_refused()
        return refusal
    if transaction.intake is None:
        refusal = await open_door(session, transaction)
    if refusal is None and transaction.proxy is not None:
        refusal = await transaction.proxy.recipient(argument)
    if refusal is not None:
        session.dialogue.recipient_refused()
        session.stage.facts.accepted -= 1
        return refusal
    transaction.recipients.append(
        Recipient(
            recipient,
            recipient if settings.enable_original_recipient else "",
            command.notify,
            command.orcpt,
        )
    )
    transaction.last_recipient = recipient
    session.dialogue.state = State.RCPT
    return RCPT_OK
