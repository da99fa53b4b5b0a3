"""The verbs of the transaction state, each a method's worth: STAT, LIST, UIDL, RETR, TOP, DELE, RSET, NOOP, CAPA.

Message numbers are fixed at login and keep their meaning; a deleted one is as if it were not there
until RSET. RETR and TOP send as fast as the client takes and hold one piece in memory.

Standards: RFC 1939 sections 5 and 7.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import cast

from posthouse.access.pop3.capabilities import capabilities
from posthouse.access.pop3.conversation import Conversation, SessionEnded
from posthouse.host.log import ProcessLog
from posthouse.mailbox.maildrop import DropMessage, Maildrop
from posthouse.mailbox.store import MailboxFault
from posthouse.wire.pop3.command import Command
from posthouse.wire.pop3.content import DotStuffer
from posthouse.wire.pop3.reply import SYS_TEMP, Reply, error, listing, ok

NO_SUCH_MESSAGE = error("No such message")
GONE = error("The message was removed by another session")
UNREADABLE = error("The message cannot be read now", SYS_TEMP)


class Transaction:
    """One open maildrop, and what the client did to it so far."""

    __slots__ = ("client", "conversation", "deleted", "log", "maildrop", "retrieved")

    def __init__(self, maildrop: Maildrop, conversation: Conversation, log: ProcessLog, client: str) -> None:
        self.maildrop = maildrop
        self.conversation = conversation
        self.log = log
        self.client = client
        self.deleted: set[int] = set()
        self.retrieved: set[int] = set()
        """Sent whole by RETR."""

    def message(self, number: int) -> DropMessage | None:
        """One message by its number, unless it is deleted."""
        if not 1 <= number <= len(self.maildrop.messages) or number in self.deleted:
            return None
        return self.maildrop.messages[number - 1]

    def remaining(self) -> list[DropMessage]:
        """Those that are not deleted."""
        return [message for message in self.maildrop.messages if message.number not in self.deleted]


async def stat(transaction: Transaction, command: Command) -> Reply:
    """STAT: deleted messages are not counted."""
    messages = transaction.remaining()
    return ok(f"{len(messages)} {sum(message.size for message in messages)}")


async def list_(transaction: Transaction, command: Command) -> Reply | bytes:
    """LIST [number]."""
    return _scan(transaction, command, lambda message: f"{message.number} {message.size}")


async def uidl(transaction: Transaction, command: Command) -> Reply | bytes:
    """UIDL [number]."""
    return _scan(transaction, command, lambda message: f"{message.number} {message.unique_id}")


def _scan(transaction: Transaction, command: Command, line: Callable[[DropMessage], str]) -> Reply | bytes:
    if command.numbers:
        message = transaction.message(command.numbers[0])
        return NO_SUCH_MESSAGE if message is None else ok(line(message))
    messages = transaction.remaining()
    return listing(ok(f"{len(messages)} messages"), map(line, messages))


async def retr(transaction: Transaction, command: Command) -> Reply | bytes:
    """RETR number."""
    number = command.numbers[0]
    message = transaction.message(number)
    if message is None:
        return NO_SUCH_MESSAGE
    reply = await _send(transaction, transaction.maildrop.content(number), f"{message.size} octets")
    if reply == b"":
        transaction.retrieved.add(number)
    return reply


async def top(transaction: Transaction, command: Command) -> Reply | bytes:
    """TOP number lines."""
    number, lines = command.numbers
    if transaction.message(number) is None:
        return NO_SUCH_MESSAGE
    return await _send(transaction, transaction.maildrop.top(number, lines), "Top of message follows")


async def _send(transaction: Transaction, pieces: AsyncIterator[bytes], text: str) -> Reply | bytes:
    """A message; the +OK only when its first piece is in hand."""
    conversation = transaction.conversation
    stuffer = DotStuffer()
    begun = False
    async with aclosing(cast(AsyncGenerator[bytes, None], pieces)):
        try:
            async for piece in pieces:
                if not begun:
                    begun = True
                    conversation.send(bytes(ok(text)))
                conversation.send(stuffer.stuff(piece))
                await conversation.flush_full()
        except MailboxFault as fault:
            transaction.log.warning(f"{transaction.client}: {conversation.where}: {fault}")
            if not begun:
                return UNREADABLE
            # The client must not take half a message for a whole one: no dot, the connection ends.
            raise SessionEnded("mailbox failure") from fault
    if not begun:
        return GONE
    conversation.send(stuffer.end())
    await conversation.flush_full()
    return b""


async def dele(transaction: Transaction, command: Command) -> Reply:
    """DELE number: counts at QUIT."""
    number = command.numbers[0]
    if transaction.message(number) is None:
        return NO_SUCH_MESSAGE
    transaction.deleted.add(number)
    return ok(f"Message {number} deleted")


async def rset(transaction: Transaction, command: Command) -> Reply:
    """RSET: nothing is deleted any more."""
    transaction.deleted.clear()
    return ok(f"{len(transaction.maildrop.messages)} messages")


async def noop(transaction: Transaction, command: Command) -> Reply:
    """NOOP."""
    return ok()


async def capa(transaction: Transaction, command: Command) -> bytes:
    """CAPA: USER and SASL are announced in both states (RFC 2449 section 6.2, RFC 5034 section 3)."""
    return capabilities(stls=False, login=True, guest=False)


VERBS: dict[str, Callable[[Transaction, Command], Awaitable[Reply | bytes]]] = {
    "STAT": stat,
    "LIST": list_,
    "UIDL": uidl,
    "RETR": retr,
    "TOP": top,
    "DELE": dele,
    "RSET": rset,
    "NOOP": noop,
    "CAPA": capa,
}
