"""The milters of a session: told of each command, and what becomes of their answers.

A refusal answers the command. One at connect or HELO does not: the greeting alone says 554, and MAIL
hears the reason (a 421 closes the connection at once). Decisions to hold or discard are kept for the
message; nothing more is asked about one that is to be discarded. The content is shown by intake, over
the same connections.

Standards: Postfix's MILTER_README; RFC 5321 section 3.1 (a 554 greeting).
"""

from dataclasses import replace

from posthouse.address.local_part import quote_address
from posthouse.address.path import take_path
from posthouse.envelope.envelope import Client
from posthouse.envelope.handling import Handling
from posthouse.policy.milter.chain import Chain
from posthouse.policy.milter.decision import Decision, Kind
from posthouse.policy.milter.milters import Milters
from posthouse.policy.restrictions.certificate import names_of
from posthouse.session.smtp.session import SmtpSession
from posthouse.tables.table import TableRetry
from posthouse.wire.milter.command import Peer
from posthouse.wire.smtp.reply import Reply

TEXTS = {Kind.HOLD: "milter triggers HOLD action", Kind.DISCARD: "milter triggers DISCARD action"}


async def begin(session: SmtpSession) -> "SessionMilters | None":
    """Choose the milters of a client; None when it has none."""
    wanted = session.service.milters
    milters = None if wanted is None else await wanted.for_client(session.client.address)
    return None if milters is None else SessionMilters(session, milters)


def words(argument: str) -> tuple[str, ...]:
    """MAIL's or RCPT's path as the client wrote it, and its parameters."""
    path, rest = take_path(argument.partition(":")[2])
    return (path, *rest.split())


class SessionMilters:
    """The milters of one client."""

    __slots__ = ("_milters", "_refused", "_session", "chain")

    def __init__(self, session: SmtpSession, milters: Milters) -> None:
        self._session = session
        self._milters = milters
        self._refused: Reply | None = None
        """Why the last recipient was refused, before milters heard of it."""
        self.chain: Chain = milters.begin(self._value, session.log.warning)

    # -- commands -------------------------------------------------------------------------

    async def connect(self) -> Reply | None:
        """What takes the greeting's place, or None."""
        client = self._session.client
        hostname = self._session.settings.myhostname
        reply = self._obey(await self.chain.connect(_peer(client)), "CONNECT")
        if reply is None or (reply.code < 500 and reply.code != 421):
            return None
        if reply.code == 421:
            return Reply(421, "", f"{hostname} Service unavailable - try again later")
        return Reply(554, "", f"{hostname} ESMTP not accepting connections")

    async def helo(self, argument: str, word: str, before: Client) -> Reply | None:
        """HELO, EHLO or LHLO; the reply when the connection must end with it."""
        session = self._session
        now, session.client = session.client, replace(before, helo=session.client.helo)
        try:
            reply = self._obey(await self.chain.helo(" ".join(argument.split())), word)
        finally:
            session.client = now
        return reply if reply is not None and reply.code == 421 else None

    async def mail(self, argument: str) -> Reply | None:
        """MAIL."""
        return self._obey(await self.chain.mail(words(argument)), "MAIL")

    async def rcpt(self, argument: str, recipient: str, refused: Reply | None) -> Reply | None:
        """RCPT. Some milters want to see what was refused already; it stays refused."""
        self._refused = refused
        decision = await self.chain.rcpt(words(argument), rejected=refused is not None)
        return None if refused is not None else self._obey(decision, "RCPT", recipient)

    async def data(self, word: str) -> Reply | None:
        """DATA, or the first BDAT."""
        return self._obey(await self.chain.data(), word)

    async def unknown(self, line: str) -> Reply | None:
        """A command that nobody knows."""
        return self._obey(await self.chain.unknown(line), "UNKNOWN")

    # -- lifetimes ------------------------------------------------------------------------

    @property
    def of_content(self) -> Chain | None:
        """Those that intake shall show the content to; None when it is to be thrown away."""
        return None if self.chain.discard is not None else self.chain

    def handling(self, handling: Handling) -> Handling:
        """What is to be done with the message, with what the milters want."""
        if self.chain.hold is not None:
            handling = replace(handling, hold=handling.hold or "milter")
        if self.chain.discard is not None:
            handling = replace(handling, discard=handling.discard or "milter")
        return handling

    def reset(self) -> None:
        """The transaction is over, or the client told another name."""
        self._refused = None
        self.chain.abort()

    def end(self) -> None:
        """The session is over."""
        session = self._session
        if session.transaction is not None:
            self.chain.abort()
        if session.client.helo:
            self.chain.abort()
        self.chain.quit()

    # -- answers --------------------------------------------------------------------------

    def _obey(self, decision: Decision | None, word: str, recipient: str = "") -> Reply | None:
        if decision is None:
            return None
        session = self._session
        recipient = recipient or self._first()
        evidence = (decision.evidence,)
        text = TEXTS.get(decision.kind)
        if text is not None:
            session.log.info(
                f"{session.queue_id}: {decision.kind.value}: {word} from {session.namaddr}: {text}; "
                f"{session.whatsup(recipient)}"
            )
            session.record("milter", recipient, decision.kind.value, evidence)
            return None
        reply = Reply(*decision.parts)
        session.log.info(
            f"{session.queue_id}: milter-reject: {word} from {session.namaddr}: "
            f"{decision.line}; {session.whatsup(recipient)}"
        )
        session.record("refused", recipient, f"milter-reject: {' '.join(reply.lines())}", evidence)
        return reply

    def _first(self) -> str:
        """The first recipient of the transaction: the one that log lines name."""
        transaction = self._session.transaction
        return transaction.recipients[0].address if transaction is not None and transaction.recipients else ""

    # -- macros ---------------------------------------------------------------------------

    async def _value(self, name: str) -> str | None:
        """A macro's value now; None when it has none."""
        session, settings = self._session, self._milters.settings
        client, tls = session.client, session.tls
        match name:
            case "j":
                return session.settings.myhostname
            case "v":
                return settings.milter_macro_v
            case "i":
                return None if session.queue_id == "NOQUEUE" else session.queue_id
            case "_":
                forged = "" if client.name.lower() == client.reverse_name.lower() else " (may be forged)"
                return f"{client.reverse_name} [{client.address}]{forged}"
            case "{daemon_name}":
                return settings.milter_macro_daemon_name
            case "{daemon_addr}":
                return session.server_address
            case "{daemon_port}":
                return str(session.server_port)
            case "{client_addr}":
                return client.address
            case "{client_name}":
                return client.name
            case "{client_ptr}":
                return client.reverse_name
            case "{client_port}":
                return client.port if client.port.isdigit() else "0"
            case "{client_connections}":
                return "0" if session.exempt else str(session.connections)
            case "{client_resolve}":
                return _resolved(client)
            case "{auth_type}":
                return client.sasl_method or None
            case "{auth_authen}":
                return client.sasl_username or None
            case "{auth_author}":
                return client.sasl_sender or None
        if tls is not None:
            match name:
                case "{tls_version}":
                    return tls.protocol
                case "{cipher}":
                    return tls.cipher
                case "{cipher_bits}":
                    return str(tls.bits)
                case "{cert_subject}":
                    return names_of(tls, "sha256").subject or None
                case "{cert_issuer}":
                    return names_of(tls, "sha256").issuer or None
        if name in ("{mail_addr}", "{mail_host}", "{mail_mailer}"):
            transaction = session.transaction
            return None if transaction is None else await self._resolved(name, transaction.command.sender)
        if name in ("{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"):
            return await self._recipient(name)
        return None

    async def _recipient(self, name: str) -> str | None:
        transaction = self._session.transaction
        if transaction is None:
            return None
        refused = self._refused
        if refused is not None:
            match name:
                case "{rcpt_addr}":
                    return refused.text.partition(" ")[2]
                case "{rcpt_host}":
                    return refused.status
            return "error"
        recipient = transaction.trying or self._first()
        return await self._resolved(name, recipient) if recipient else None

    async def _resolved(self, name: str, address: str) -> str | None:
        """What routing makes of an address: itself, its next hop, its transport."""
        if not address and name.endswith("_addr}"):
            return ""
        resolve, transaction = self._session.service.resolve, self._session.transaction
        if resolve is None or transaction is None:
            return None
        try:
            route = await resolve(transaction.command.sender, address)
        except TableRetry:
            return None
        if name.endswith("_host}"):
            return route.nexthop
        return route.transport if name.endswith("_mailer}") else quote_address(route.recipient)


def _peer(client: Client) -> Peer:
    """libmilter's view of a client. A name that is not known is its address in brackets."""
    name = f"[{client.address}]" if client.name == "unknown" else client.name
    family = b"6" if ":" in client.address else b"4"
    if client.address in ("unknown", ""):
        return Peer(name.encode("utf-8", "surrogateescape"), b"U")
    port = int(client.port) if client.port.isdigit() else 0
    address = f"IPv6:{client.address}" if family == b"6" else client.address
    return Peer(name.encode("utf-8", "surrogateescape"), family, port, address.encode("ascii", "replace"))


def _resolved(client: Client) -> str:
    """{client_resolve}: whether name and address agree."""
    if client.name != "unknown":
        return "OK"
    return "FAIL" if client.reverse_name == "unknown" else "FORGED"
