"""DATA: the content, up to <CRLF>.<CRLF>, and the commit that the 250 follows.

Standards: RFC 5321 sections 4.1.1.4 and 4.5.2; RFC 1870 section 6.3 (a message that turns out too large).
"""

from dataclasses import replace

from posthouse.envelope.envelope import Envelope
from posthouse.intake.transaction import Accepted
from posthouse.session.smtp.received import received_field
from posthouse.session.smtp.seams import Answered, PerRecipient
from posthouse.session.smtp.session import SmtpSession
from posthouse.session.smtp.transaction import Transaction
from posthouse.session.smtp.transcript import content_class
from posthouse.wire.smtp.data import DataReader
from posthouse.wire.smtp.reply import Reply

DATA_SYNTAX = Reply(501, "5.5.4", "Syntax: DATA")
GO_AHEAD = b"354 End data with <CR><LF>.<CR><LF>\r\n"
TOO_BIG = Reply(552, "5.3.4", "Error: message file too big")


async def data(session: SmtpSession, argument: str) -> bytes | Reply:
    """DATA and all that follows it."""
    refusal = session.dialogue.refusal("DATA")
    if refusal is not None:
        return refusal
    if argument:
        return DATA_SYNTAX
    transaction = session.transaction
    assert transaction is not None and transaction.intake is not None
    refusal = session.judge(await session.stage.data(), "data", "DATA")
    if refusal is None and session.milters is not None:
        refusal = await session.milters.data("DATA")
    if refusal is None and transaction.proxy is not None:
        refusal = await transaction.proxy.data(trace_of(session, transaction), session.stage.handling)
    if refusal is not None:
        return refusal
    session.send(GO_AHEAD)
    reader = DataReader()
    intake = transaction.intake
    limit = session.settings.message_size_limit
    chunk = session.dialogue.take()
    if not chunk:
        session.where = "DATA (0 bytes)"
        chunk = await session.read()
    while True:
        content = reader.receive(chunk)
        if content:
            room = limit - transaction.size
            transaction.size += len(content)
            if limit and transaction.size > limit:  # read to the end of data all the same, keep nothing of it
                if not transaction.oversize:
                    transaction.oversize = True
                    await intake.write(content[:room])
                    intake.too_large()
            else:
                await intake.write(content)
        if reader.ended:
            break
        session.where = f"DATA ({reader.lines_received} bytes)"
        chunk = await session.read()
    session.dialogue.receive(reader.leftover)
    session.where = "END-OF-MESSAGE"
    return await finish(session, transaction, "250 2.0.0 Ok: queued as ")


async def finish(session: SmtpSession, transaction: Transaction, accepted: str) -> bytes | Reply:
    """Judge the whole message and commit it; the transaction is over in any case (RFC 5321 section 4.1.1.4)."""
    intake = transaction.intake
    assert intake is not None
    try:
        if transaction.oversize:
            session.log.warning(f"{session.queue_id}: queue file size limit exceeded")
            session.record("refused", "", f"reject: {TOO_BIG.code} {TOO_BIG.status} {TOO_BIG.text}")
            return _for_all(session, transaction, TOO_BIG)
        verdict = await session.stage.end_of_data(transaction.size)
        refusal = session.judge(verdict, "data", "END-OF-MESSAGE")
        if refusal is not None:
            return _for_all(session, transaction, refusal)
        given, trace, handling = (
            await envelope(session, transaction),
            received(session, transaction),
            session.stage.handling,
        )
        if session.milters is None:
            outcome = await intake.commit(given, trace, handling)
        else:
            handling, milters = session.milters.handling(handling), session.milters.of_content
            outcome = await intake.commit(given, trace, handling, milters=milters)
        transaction.intake = None  # what was committed cannot be rolled back
        if isinstance(outcome, Answered):
            if outcome.reply.code >= 400:
                return _for_all(session, transaction, outcome.reply)
            session.forgive()
            return bytes(outcome.reply) * (len(transaction.recipients) if session.service.lmtp else 1)
        if isinstance(outcome, PerRecipient):
            assert len(outcome.replies) == len(transaction.recipients), "one reply for each recipient"
            return b"".join(map(bytes, outcome.replies))
        if isinstance(outcome, Accepted):
            session.forgive()
            reply = f"{accepted}{outcome.queue_id}\r\n".encode()
            return reply * len(transaction.recipients) if session.service.lmtp else reply
        session.record("refused", "", f"reject: {outcome.code} {outcome.status} {outcome.text}", outcome.evidence)
        return _for_all(session, transaction, Reply(outcome.code, outcome.status, outcome.text))
    finally:
        session.reset()


def _for_all(session: SmtpSession, transaction: Transaction, reply: Reply) -> bytes | Reply:
    """A refusal of the whole message: LMTP clients wait for one reply per recipient (RFC 2033 section 4.2)."""
    session.erred(reply, content_class(reply))
    return bytes(reply) * len(transaction.recipients) if session.service.lmtp else reply


async def envelope(session: SmtpSession, transaction: Transaction) -> Envelope:
    """The envelope of what was received."""
    command, client, service = transaction.command, session.client, session.service
    forwarded = session.forwarded
    if forwarded is not None:
        forwarded = replace(
            forwarded,
            sasl_method=client.sasl_method,
            sasl_username=client.sasl_username,
            sasl_sender=client.sasl_sender,
        )
    if session.forwarded_local is not None:
        local = session.forwarded_local
    elif service.local_rewrite is None:
        local = session.peer_address == session.server_address or session.peer_address in ("127.0.0.1", "::1")
    else:
        local = await service.local_rewrite(session.peer_address, client)
    return Envelope(
        sender=command.sender,
        recipients=tuple(transaction.recipients),
        client=forwarded or client,
        local_rewrite=local,
        ret=command.ret,
        envid=command.envid,
        smtputf8=command.smtputf8,
        body=command.body,
        verp=command.verp,
    )


def trace_of(session: SmtpSession, transaction: Transaction) -> bytes:
    """What a filter before the queue gets on top: our Received field, unless the client only passes mail on for one
    that it told of by XFORWARD."""
    return b"" if session.forwarded is not None else received(session, transaction)


def received(session: SmtpSession, transaction: Transaction) -> bytes:
    """Our Received field."""
    settings, service = session.settings, session.service
    recipients = transaction.recipients
    return received_field(
        session.client,
        hostname=settings.myhostname,
        mail_name=settings.mail_name,
        queue_id=transaction.queue_id,
        recipient=recipients[0].address if len(recipients) == 1 else "",
        date=service.dates.at(service.clock()),
        tls=session.tls,
        show_tls=settings.smtpd_tls_received_header,
        show_login=settings.smtpd_sasl_authenticated_header,
        smtputf8=transaction.command.smtputf8,
    )
