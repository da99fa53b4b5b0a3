"""The second half of a POP3 session: from the login's +OK to the end, with a maildrop.

It needs a stream of plain bytes, a login that somebody else has checked and a way to open the
account; so it runs in the access worker or in a child that is the mailbox's owner. It sends the
reply to the login itself: +OK when the maildrop is open, -ERR with its response code when not, and
then the session is over (RFC 1939 section 4 lets the server close).

Only QUIT deletes. A session that ends otherwise leaves every message with its unique-id, and what
was retrieved is marked seen, so that no client takes the same mail for new again and again.

No lock is held over a session: numbers, contents and unique-ids are fixed at login (RFC 1939
section 4 asks for a lock "as necessary"), so two sessions of one account do not harm each other. [IN-USE] comes
from stores that must lock.

Standards: RFC 1939 sections 4 to 6; RFC 2449 section 8; RFC 3206.
"""

import time
from collections.abc import Callable

from posthouse.access.pop3.conversation import SHOWN, Conversation, SessionEnded
from posthouse.access.pop3.messages import VERBS, Transaction
from posthouse.access.pop3.service import LoggedIn, OpenAccount, Serve, Served
from posthouse.access.pop3.settings import Pop3dSettings
from posthouse.access.pop3.tally import written
from posthouse.host.log import ProcessLog
from posthouse.mailbox.maildrop import Maildrop, open_maildrop
from posthouse.mailbox.store import AccountStore, MailboxFault, Refusal, Refused
from posthouse.net.stream import Stream
from posthouse.wire.pop3.command import BadCommand, Command, parse_command
from posthouse.wire.pop3.reply import IN_USE, SYS_PERM, SYS_TEMP, Reply, error, ok

BYE = ok("Bye")
LINE_TOO_LONG = error("Line too long")
ALREADY = error("Already logged in")
NOT_OPENED = error("The maildrop cannot be opened now", SYS_TEMP)
NOT_REMOVED = error("Some deleted messages were not removed", SYS_TEMP)

BEFORE_LOGIN = frozenset({"STLS", "USER", "PASS", "APOP", "AUTH"})

CODES = {Refusal.IN_USE: IN_USE, Refusal.NONEXISTENT: SYS_PERM, Refusal.CANNOT: SYS_PERM}
"""Response codes of a maildrop that the store will not open; any other refusal may pass: SYS/TEMP."""


class Pop3Session:
    """The transaction and update states of one connection."""

    def __init__(
        self,
        stream: Stream,
        logged_in: LoggedIn,
        open_account: OpenAccount,
        settings: Pop3dSettings,
        log: ProcessLog,
        *,
        pending: bytes = b"",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """log: under the session's number. pending: bytes that were read from the stream already."""
        self._conversation = Conversation(stream, settings, pending=pending, clock=clock)
        self._conversation.where = "LOGIN"
        self._logged_in = logged_in
        self._open_account = open_account
        self._settings = settings
        self._log = log

    async def run(self) -> Served:
        """The session, to its end. The caller closes the stream."""
        conversation = self._conversation
        reason = ""
        try:
            account = await self._account()
            if account is not None:
                try:
                    await self._with_account(account)
                finally:
                    await account.close()
        except SessionEnded as end:
            reason = str(end)
        return Served(reason, conversation.where, conversation.tally)

    async def _account(self) -> AccountStore | None:
        """The open account, or None after -ERR."""
        try:
            account = await self._open_account(self._logged_in.login)
        except MailboxFault as fault:
            await self._refuse(NOT_OPENED, str(fault))
            return None
        if isinstance(account, Refused):
            await self._refuse(_refusal(account), account.text)
            return None
        return account

    async def _with_account(self, account: AccountStore) -> None:
        try:
            maildrop = await open_maildrop(account)
        except MailboxFault as fault:
            await self._refuse(NOT_OPENED, str(fault))
            return
        if isinstance(maildrop, Refused):
            await self._refuse(_refusal(maildrop), maildrop.text)
            return
        try:
            await self._with_maildrop(maildrop)
        finally:
            await maildrop.close()

    async def _refuse(self, reply: Reply, why: str) -> None:
        client, login = self._logged_in.client, self._logged_in.login
        self._log.warning(f"{client}: cannot open the maildrop of <{login}>: {why}")
        self._conversation.send(bytes(reply))
        await self._conversation.flush()

    async def _with_maildrop(self, maildrop: Maildrop) -> None:
        conversation = self._conversation
        transaction = Transaction(maildrop, conversation, self._log, self._logged_in.client)
        octets = sum(message.size for message in maildrop.messages)
        conversation.send(bytes(ok(f"{len(maildrop.messages)} messages ({octets} octets)")))
        try:
            while not await self._command(transaction, await conversation.next_line()):
                pass
        finally:
            await self._mark_seen(transaction)
        await self._update(transaction)

    async def _command(self, transaction: Transaction, line: bytes) -> bool:
        """Answer one line; True at QUIT, which is not answered yet."""
        conversation = self._conversation
        if conversation.lines.too_long:
            shown = line[:SHOWN].decode("latin-1")
            limit = self._settings.pop3d_line_length_limit
            self._log.warning(f"{self._logged_in.client}: request longer than {limit}: {shown}...")
            conversation.where = "UNKNOWN"
            await conversation.answer(LINE_TOO_LONG, "unknown")
            return False
        command = parse_command(line)
        conversation.where = command.verb or "UNKNOWN"
        if isinstance(command, Command) and command.verb == "QUIT":
            return True
        try:
            reply = await self._reply(transaction, command)
        except SessionEnded:
            conversation.count(conversation.where.lower(), good=False)
            raise
        await conversation.answer(reply, conversation.where.lower())
        return False

    async def _reply(self, transaction: Transaction, command: Command | BadCommand) -> Reply | bytes:
        if isinstance(command, BadCommand):
            return error(command.text)
        if command.verb in BEFORE_LOGIN:
            return ALREADY
        return await VERBS[command.verb](transaction, command)

    async def _update(self, transaction: Transaction) -> None:
        """The update state: the deletions are durable before the client hears +OK."""
        reply = BYE
        if transaction.deleted:
            try:
                if not await transaction.maildrop.remove(sorted(transaction.deleted)):
                    reply = NOT_REMOVED
            except MailboxFault as fault:
                self._log.warning(f"{self._logged_in.client}: deletions of <{self._logged_in.login}>: {fault}")
                reply = NOT_REMOVED
        self._conversation.count("quit", good=reply.positive)
        self._conversation.send(bytes(reply))
        await self._conversation.flush()

    async def _mark_seen(self, transaction: Transaction) -> None:
        """A hint to other clients: a failure is logged and changes nothing for this one."""
        numbers = sorted(transaction.retrieved)
        if numbers:
            try:
                await transaction.maildrop.seen(numbers)
            except MailboxFault as fault:
                self._log.warning(f"{self._logged_in.client}: flags of <{self._logged_in.login}>: {fault}")


def _refusal(refused: Refused) -> Reply:
    code = CODES.get(refused.refusal, SYS_TEMP)
    return error(refused.text or "The maildrop cannot be opened", code)


def log_alone(served: Served, logged_in: LoggedIn, log: ProcessLog) -> None:
    """The end of a session that ran in a child of its own: nobody else can count its commands."""
    if served.reason:
        log.info(f"{served.reason} after {served.where} from {logged_in.client}")
    log.info(f"logout: user=<{logged_in.login}> {written(served.tally)}")


def serve_here(
    open_account: OpenAccount,
    settings: Pop3dSettings,
    log: ProcessLog,
    clock: Callable[[], float] = time.monotonic,
) -> Serve:
    """The Serve of accounts that this very process may open."""

    async def serve(stream: Stream, logged_in: LoggedIn, pending: bytes) -> Served:
        session_log = log.session(logged_in.number)
        return await Pop3Session(
            stream, logged_in, open_account, settings, session_log, pending=pending, clock=clock
        ).run()

    return serve
