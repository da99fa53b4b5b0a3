"""BDAT: the content in counted chunks, as many as the client likes.

A chunk that may not come is read and thrown away, and after it every other one until RSET: the
client may have sent them all already.

Standards: RFC 3030 section 2.
"""

from posthouse.session.smtp.data import finish, trace_of
from posthouse.session.smtp.session import SmtpSession
from posthouse.session.smtp.transaction import ChunkedContent, Transaction
from posthouse.wire.smtp.command import BdatCommand, parse_bdat
from posthouse.wire.smtp.dialogue import State
from posthouse.wire.smtp.reply import Reply

NOT_IMPLEMENTED = Reply(521, "5.5.1", "Error: command not implemented")
NULL_CHUNK = Reply(551, "5.7.1", "Null BDAT request")
CHUNK_TOO_LARGE = Reply(552, "5.3.4", "Chunk exceeds message size limit")


async def bdat(session: SmtpSession, argument: str) -> bytes | Reply:
    """BDAT count [LAST] and the chunk behind it."""
    if "CHUNKING" in session.discard:
        return NOT_IMPLEMENTED
    command = parse_bdat(argument)
    if isinstance(command, Reply):
        # where the next command begins cannot be known: 521 closes the connection
        session.log.warning(
            f"{session.queue_id}: malformed BDAT command syntax from {session.namaddr}: BDAT {argument}".rstrip()
        )
        return command
    dialogue = session.dialogue
    if dialogue.state is State.SPOILED:
        await _discard(session, command.size)
        if command.last:
            session.reset()
        return Reply(551, "5.0.0", f"Discarded {command.size} bytes after earlier error")
    if not command.size and not command.last:  # RFC 3030 section 2: nothing may come, but only as the last chunk
        session.log.warning(f"{session.queue_id}: null BDAT request from {session.namaddr}")
        if session.transaction is not None:
            session.transaction.rollback()
        dialogue.spoil()
        return NULL_CHUNK
    refusal = dialogue.refusal("BDAT")
    transaction = session.transaction
    if refusal is None and dialogue.state is State.RCPT:
        refusal = session.judge(await session.stage.data(), "data", "BDAT")
        if refusal is None and session.milters is not None:
            refusal = await session.milters.data("BDAT")
        if refusal is None and transaction is not None and transaction.proxy is not None:
            refusal = await transaction.proxy.data(trace_of(session, transaction), session.stage.handling)
    limit = session.settings.message_size_limit
    if refusal is None and limit and transaction is not None and command.size > limit - transaction.size:
        session.log.warning(f"{session.queue_id}: BDAT request from {session.namaddr} exceeds message size limit")
        refusal = CHUNK_TOO_LARGE
    if refusal is not None:
        await _discard(session, command.size)
        if refusal is CHUNK_TOO_LARGE and transaction is not None and transaction.chunks is not None:
            assert transaction.intake is not None
            transaction.intake.too_large()
        if command.last:
            session.reset()
        else:
            if transaction is not None:
                transaction.rollback()
            dialogue.spoil()
        return refusal
    assert transaction is not None and transaction.intake is not None
    if transaction.chunks is None:
        transaction.chunks = ChunkedContent()
        dialogue.state = State.CHUNKS
    return await _take(session, transaction, transaction.chunks, command)


async def _take(
    session: SmtpSession, transaction: Transaction, chunks: ChunkedContent, command: BdatCommand
) -> bytes | Reply:
    intake = transaction.intake
    assert intake is not None
    left = command.size
    while left:
        piece = session.dialogue.take(left)
        if not piece:
            session.where = f"BDAT ({chunks.bytes} bytes)"
            session.dialogue.receive(await session.read())
            continue
        left -= len(piece)
        chunks.bytes += len(piece)
        content = chunks.reader.receive(piece)
        if content:
            transaction.size += len(content)
            await intake.write(content)
    session.where = "BDAT"
    if not command.last:
        return f"250 2.0.0 Ok: {command.size} bytes\r\n".encode()
    content = chunks.reader.finish() if chunks.bytes else b""
    if content:
        transaction.size += len(content)
        await intake.write(content)
    return await finish(session, transaction, f"250 2.0.0 Ok: {transaction.size} bytes queued as ")


async def _discard(session: SmtpSession, size: int) -> None:
    while size:
        piece = session.dialogue.take(size)
        size -= len(piece)
        if size:
            session.dialogue.receive(await session.read())
