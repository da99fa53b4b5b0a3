"""Which restriction lists run at which stage of an SMTP session, and what they say together.

    stage             lists
    connect           smtpd_client_restrictions             with smtpd_delay_reject these three wait
    HELO, EHLO        smtpd_helo_restrictions               for RCPT (and VRFY; ETRN: the first two)
    MAIL              smtpd_sender_restrictions
    RCPT              relay and recipient restrictions, in the order of smtpd_relay_before_recipient_restrictions, then
                      what defer_if_permit left, then unlisted recipients (smtpd_reject_unlisted_recipient)
    DATA              smtpd_data_restrictions
    END-OF-MESSAGE    smtpd_end_of_data_restrictions
    ETRN              smtpd_etrn_restrictions

A list that ends without a decision permits. A service that would relay for everybody does not
start. What access tables want done with the message is gathered in `handling`; a refused
recipient's part of it is dropped.

Standards: RFC 5321 section 7.9 (refusing and its words).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.dns.resolver import Resolver
from posthouse.envelope.envelope import Client, Notify
from posthouse.envelope.verdict import DUNNO, Action, Evidence, Verdict
from posthouse.net.stream import TlsInfo
from posthouse.policy.delegation import Open
from posthouse.policy.destinations import Destinations
from posthouse.policy.facts import Facts, LogEvent, Subject
from posthouse.policy.handling import Handling
from posthouse.policy.parse import ListParser
from posthouse.policy.restriction import Restriction, evaluate
from posthouse.policy.restrictions.verify import Prober
from posthouse.policy.settings import ListSettings

RELAY_CONTROL = (
    "reject_unauth_destination",
    "defer_unauth_destination",
    "reject",
    "defer",
    "defer_if_permit",
    "check_relay_domains",
)
DATA = Subject("DATA", "Data command")
END_OF_DATA = Subject("END-OF-MESSAGE", "End-of-data")


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of one service, parsed."""

    client: tuple[Restriction, ...]
    helo: tuple[Restriction, ...]
    sender: tuple[Restriction, ...]
    recipient: tuple[tuple[Restriction, ...], ...]
    """Relay and recipient lists in their order, empty ones left out."""
    unlisted: tuple[Restriction, ...]
    data: tuple[Restriction, ...]
    end_of_data: tuple[Restriction, ...]
    etrn: tuple[Restriction, ...]
    delayed: bool


class Stages:
    """The restriction lists of one listener."""

    def __init__(self, lists: Lists, parser: ListParser) -> None:
        self.lists = lists
        self.parser = parser
        self.warnings = tuple(parser.warnings)
        """What is wrong with the lists, for `postfix check`; they are said again when mail meets them."""

    @classmethod
    def open(
        cls,
        configuration: Configuration,
        resolver: Resolver,
        destinations: Destinations,
        *,
        warn: Callable[[str], None] = lambda text: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        open_stream: Open | None = None,
        prober: Prober | None = None,
    ) -> "Stages":
        """From main.cf and the service's overrides. Raises ConfigError, among others without any relay control.
        Without a prober reject_unverified_* refuse all mail for now."""
        settings = read_settings(ListSettings, configuration)
        parser = ListParser(
            configuration,
            resolver,
            destinations,
            warn,
            classes=settings.smtpd_restriction_classes,
            sleep=sleep,
            open_stream=open_stream,
            prober=prober,
        )
        require_relay_control(
            parser.expanded(settings.smtpd_relay_restrictions) + parser.expanded(settings.smtpd_recipient_restrictions)
        )
        relay = parser.parse(settings.smtpd_relay_restrictions, "smtpd_relay_restrictions", "recipient")
        recipient = parser.parse(settings.smtpd_recipient_restrictions, "smtpd_recipient_restrictions", "recipient")
        sender = parser.parse(settings.smtpd_sender_restrictions, "smtpd_sender_restrictions", "sender")
        if settings.smtpd_reject_unlisted_sender:
            sender += parser.parse(("reject_unlisted_sender",), "smtpd_reject_unlisted_sender", "sender")
        unlisted: tuple[Restriction, ...] = ()
        if settings.smtpd_reject_unlisted_recipient:
            unlisted = parser.parse(("reject_unlisted_recipient",), "smtpd_reject_unlisted_recipient", "recipient")
        ordered = (relay, recipient) if settings.smtpd_relay_before_recipient_restrictions else (recipient, relay)
        lists = Lists(
            parser.parse(settings.smtpd_client_restrictions, "smtpd_client_restrictions", "client"),
            parser.parse(settings.smtpd_helo_restrictions, "smtpd_helo_restrictions", "helo"),
            sender,
            tuple(restrictions for restrictions in ordered if restrictions),
            unlisted,
            parser.parse(settings.smtpd_data_restrictions, "smtpd_data_restrictions", "recipient"),
            parser.parse(settings.smtpd_end_of_data_restrictions, "smtpd_end_of_data_restrictions", "recipient"),
            parser.parse(settings.smtpd_etrn_restrictions, "smtpd_etrn_restrictions", "etrn"),
            settings.smtpd_delay_reject,
        )
        return cls(lists, parser)

    def begin(self, client: Client, server_address: str, server_port: int, *, log: LogEvent) -> "StageSession":
        """A new connection. `log` gets (log_class, stage_word, text) for lines without a refusal."""
        return StageSession(self.lists, Facts(client, server_address, server_port, log))

    def close(self) -> None:
        """Give back tables and connections."""
        self.parser.close()


def require_relay_control(words: list[str]) -> None:
    """Refuse lists that would let anybody relay."""
    previous = ""
    for word in words:
        if word.lower() in RELAY_CONTROL and previous.lower() != "warn_if_reject":
            return
        previous = word
    wanted = f"{', '.join(RELAY_CONTROL[:-1])} or {RELAY_CONTROL[-1]}"
    raise ConfigError(
        "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, "
        f"specify at least one working instance of: {wanted}"
    )


class StageSession:
    """One connection: told what happens, says what policy thinks of it."""

    __slots__ = ("_facts", "_later_client", "_later_helo", "_later_sender", "_lists")

    def __init__(self, lists: Lists, facts: Facts) -> None:
        self._lists = lists
        self._facts = facts
        # What defer_if_permit left at earlier stages, when their lists do not wait for RCPT.
        self._later_client: Verdict | None = None
        self._later_helo: Verdict | None = None
        self._later_sender: Verdict | None = None

    @property
    def facts(self) -> Facts:
        """What is known; the session sets queue_id and pipelined in it."""
        return self._facts

    @property
    def handling(self) -> Handling:
        """What was gathered for the message so far."""
        return self._facts.handling

    def authenticated(self, login: str, method: str, sender: str) -> None:
        """The client logged in; `sender` is MAIL's AUTH= parameter."""
        self._facts.login, self._facts.sasl_method, self._facts.sasl_sender = login, method, sender

    def tls(self, info: TlsInfo | None) -> None:
        """The connection is encrypted now; what was said before does not count (RFC 3207 section 4.2)."""
        self._facts.tls = info
        self._facts.helo = ""
        self._later_helo = None

    def reset(self) -> None:
        """RSET, or the end of a message."""
        self._facts.forget_transaction()
        self._later_sender = None

    async def connect(self, stage_word: str = "CONNECT") -> Verdict:
        """A client connected, or XCLIENT told of one."""
        facts = self._begin(stage_word)
        if self._lists.delayed:
            return DUNNO
        verdict = await evaluate(self._lists.client, facts, Subject(facts.namaddr, "Client host"))
        self._later_client = facts.later
        return verdict

    async def helo(self, name: str, esmtp: bool) -> Verdict:
        """HELO or EHLO."""
        facts = self._begin("EHLO" if esmtp else "HELO")
        facts.helo, facts.esmtp = name, esmtp
        if self._lists.delayed:
            return DUNNO
        verdict = await evaluate(self._lists.helo, facts, Subject(name, "Helo command"))
        self._later_helo = facts.later
        return verdict

    async def mail(self, sender: str, *, size: int = 0, body: str = "", smtputf8: bool = False) -> Verdict:
        """MAIL: a transaction begins. body and smtputf8 are told for plugins; no restriction of Postfix reads them."""
        facts = self._facts
        facts.forget_transaction()
        self._begin("MAIL")
        facts.sender, facts.size = sender, size
        if self._lists.delayed:
            return DUNNO
        verdict = await evaluate(self._lists.sender, facts, Subject(sender, "Sender address"))
        self._later_sender = facts.later
        return verdict

    async def rcpt(self, address: str, *, notify: Notify = Notify.NONE, orcpt: str = "") -> Verdict:
        """RCPT: one more recipient."""
        facts = self._begin("RCPT")
        before = facts.handling
        verdict = await self._recipient(address)
        if verdict.action in (Action.REJECT, Action.DEFER):
            facts.handling = before
        else:
            facts.accepted += 1
            facts.first_recipient = facts.first_recipient or address
        return verdict

    async def data(self) -> Verdict:
        """DATA, or the first BDAT."""
        return await self._message("DATA", self._lists.data, DATA)

    async def end_of_data(self, size: int) -> Verdict:
        """The content has come."""
        self._facts.size = size
        return await self._message("END-OF-MESSAGE", self._lists.end_of_data, END_OF_DATA)

    async def vrfy(self, address: str) -> Verdict:
        """What RCPT would say of the address. Leaves no trace in a transaction under way."""
        facts = self._begin("VRFY")
        before, recipient = facts.handling, facts.recipient
        try:
            return await self._recipient(address)
        finally:
            facts.handling, facts.recipient = before, recipient

    async def etrn(self, domain: str) -> Verdict:
        """ETRN."""
        facts = self._begin("ETRN")
        facts.etrn_domain = domain
        try:
            if self._lists.delayed:
                for restrictions, subject in self._waiting()[:2]:
                    verdict = await evaluate(restrictions, facts, subject)
                    if verdict.action in (Action.REJECT, Action.DEFER):
                        return verdict
            verdict = await evaluate(self._lists.etrn, facts, Subject(domain, "Etrn command"))
            return self._unless_later(verdict)
        finally:
            facts.etrn_domain = ""

    # -- parts

    def _begin(self, stage: str) -> Facts:
        facts = self._facts
        facts.stage = stage
        facts.later = facts.instead = None
        return facts

    def _waiting(self) -> list[tuple[tuple[Restriction, ...], Subject]]:
        """The lists that smtpd_delay_reject puts off. What is not known yet is not judged."""
        facts, lists = self._facts, self._lists
        found = [(lists.client, Subject(facts.namaddr, "Client host"))] if lists.client else []
        if lists.helo and facts.helo:
            found.append((lists.helo, Subject(facts.helo, "Helo command")))
        return found

    async def _recipient(self, address: str) -> Verdict:
        facts, lists = self._facts, self._lists
        facts.forget_recipient()
        facts.recipient = address
        if facts.handling.discard:
            return DUNNO  # nobody will read it: nothing more is judged or logged
        if address.lower() == "postmaster":  # RFC 5321 section 4.5.1: mail to him, without a domain, is always taken
            return Verdict(Action.PERMIT)
        if lists.delayed:
            waiting = self._waiting()
            if lists.sender and facts.sender is not None:
                waiting.append((lists.sender, Subject(facts.sender, "Sender address")))
                facts.sender_checked = False
            for restrictions, subject in waiting:
                facts.instead = None
                verdict = await evaluate(restrictions, facts, subject)
                if verdict.action in (Action.REJECT, Action.DEFER):
                    return verdict
        else:
            facts.later = self._later_client or self._later_helo or self._later_sender
        subject = Subject(address, "Recipient address")
        evidence: tuple[Evidence, ...] = ()
        for restrictions in lists.recipient:
            facts.instead = None  # defer_if_reject counts within its list, as with Postfix
            verdict = await evaluate(restrictions, facts, subject)
            if verdict.action in (Action.REJECT, Action.DEFER):
                return verdict
            evidence += verdict.evidence
        facts.instead = None
        if facts.later is not None:
            return facts.later
        if not facts.recipient_checked and not facts.handling.discard:
            verdict = await evaluate(lists.unlisted, facts, subject)
            if verdict.action in (Action.REJECT, Action.DEFER):
                return verdict
        return Verdict(Action.PERMIT, evidence=evidence)

    async def _message(self, stage: str, restrictions: tuple[Restriction, ...], subject: Subject) -> Verdict:
        facts = self._begin(stage)
        facts.recipient = facts.first_recipient if facts.accepted == 1 else None
        if not restrictions or facts.handling.discard:
            return DUNNO
        return self._unless_later(await evaluate(restrictions, facts, subject))

    def _unless_later(self, verdict: Verdict) -> Verdict:
        """The verdict, or what defer_if_permit left when it is no refusal."""
        later = self._facts.later
        if later is not None and verdict.action not in (Action.REJECT, Action.DEFER):
            return later
        return verdict
