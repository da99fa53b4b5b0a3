"""The local delivery agent: local(8) as the mail worker sees it.

It knows aliases and who is meant by a name, and passes on: addresses go back through the one
door (intake) as a new message, other transports get the request, and what needs a user's
rights is an errand for the hands. A forward counts as delivered only after intake's reply.
How an expansion is followed is attempt.py's.

Standards: aliases(5); RFC 3461 section 5.2.7 (who asked for NOTIFY=SUCCESS is told that an alias was expanded).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from posthouse.address.address import split_address
from posthouse.address.local_part import quote_address, split_extension
from posthouse.envelope.envelope import Envelope, Notify, Recipient
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryAgent, DeliveryRequest, QueuedRecipient
from posthouse.host.log import ProcessLog
from posthouse.intake.transaction import Accepted, Handling, Intake
from posthouse.mda.copy import delivery_fields
from posthouse.tables.maps import Maps
from posthouse.tables.table import Row, TableRetry
from posthouse.transport.errands import errand_of, outcomes
from posthouse.transport.hands import Hands, Report
from posthouse.transport.local.attempt import Attempt, Person, Place, Sent, Within
from posthouse.transport.local.expansion import Kind, parse_expansion
from posthouse.transport.local.people import People
from posthouse.transport.local.settings import LocalSettings
from posthouse.transport.local.user import expand_with

REQUIRED = ("mailer-daemon", "postmaster")
"""RFC 5321 section 4.5.1: mail for them never bounces. Where they reach nobody it is thrown away, with a warning."""

RELAYED = "|luser_relay"
"""Stands among the aliases above what luser_relay names; no name of an alias."""


class LocalAgent:
    """Delivers to the users and aliases of this machine."""

    def __init__(
        self,
        settings: LocalSettings,
        service: str,
        *,
        alias_maps: Maps,
        mailbox_transport_maps: Maps,
        fallback_transport_maps: Maps,
        people: People,
        hands: Hands,
        intake: Intake,
        agents: Mapping[str, DeliveryAgent],
        qualify: Callable[[str], str],
        is_here: Callable[[str], Awaitable[bool]],
        received: Callable[[str], bytes],
        log: ProcessLog,
    ) -> None:
        """`qualify` completes an address with our domains; `is_here` says whether this service delivers it; `received`
        makes the Received field of a forward from its queue id; `agents` holds the other transports by name (it may be
        filled later)."""
        self._settings = settings
        self._service = service
        self._aliases = alias_maps
        self._transport_maps = mailbox_transport_maps
        self._fallback_maps = fallback_transport_maps
        self._people = people
        self._hands = hands
        self._intake = intake
        self._agents = agents
        self._qualify = qualify
        self._is_here = is_here
        self._received = received
        self._log = log

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """One Outcome per recipient."""
        seen: set[tuple[str, ...]] = set()
        return [await Attempt(self, request, queued, seen).deliver() for queued in request.recipients]

    # -- names ----------------------------------------------------------------------------

    async def alias(self, name: str) -> Row | None:
        """A row of alias_maps. Raises TableRetry."""
        return await self._aliases.lookup(name)

    async def owner(self, alias: str) -> str | None:
        """owner-alias takes the bounces of what the alias sends on. Raises TableRetry."""
        if not self._settings.owner_request_special:
            return None
        row = await self._aliases.lookup(f"owner-{alias}")
        if row is None:
            return None
        if self._settings.expand_owner_alias:
            items = parse_expansion(row.value)
            if len(items) == 1 and items[0].kind is Kind.ADDRESS:
                return self.qualify(items[0].value)
        return self.qualify(f"owner-{alias}")

    def qualify(self, address: str) -> str:
        """The address in standard form."""
        return self._qualify(address)

    async def is_here(self, address: str) -> bool:
        """Whether this very service delivers it. Raises TableRetry."""
        return await self._is_here(address)

    def split(self, local_part: str) -> tuple[str, str]:
        """(base, the rest with its delimiter)."""
        base, _ = split_extension(
            local_part, self._settings.recipient_delimiter, owner_request=self._settings.owner_request_special
        )
        return base, local_part[len(base) :]

    def propagated(self, unmatched: str, kind: Within) -> str:
        """propagate_unmatched_extensions = alias: tony+x with "tony: bob" goes to bob+x."""
        return unmatched if kind.value in self._settings.propagate_unmatched_extensions else ""

    async def person(self, local_part: str) -> Person:
        """The login that a local part means: whole, or without its extension. Raises OSError."""
        loop = asyncio.get_running_loop()
        base, unmatched = self.split(local_part)
        person = await loop.run_in_executor(None, self._people.find, local_part)
        if person is not None:
            return Person(person.login, local_part)
        if base != local_part:
            person = await loop.run_in_executor(None, self._people.find, base)
        return Person(None if person is None else person.login, base, unmatched)

    # -- errands --------------------------------------------------------------------------

    async def run(
        self,
        request: DeliveryRequest,
        queued: QueuedRecipient,
        operation: str,
        names: tuple[str, ...],
        extension: str,
        delivered_to: str,
    ) -> Report:
        """An errand; delivered_to is the recipient that was queued."""
        # The extension becomes part of a file name: forward_path. Postfix too goes on without one that holds "/".
        extension = "" if "/" in extension else extension
        errand = errand_of(request, operation, self._service, names, queued, extension, delivered_to=delivered_to)
        return await self._hands.run(errand, request.content)

    def results(self, report: Report, index: int) -> list[Outcome]:
        """Its results."""
        return outcomes(report, (index,), self._service)

    def _place(self) -> str:
        """Where a user's mail would go, in local(8)'s words. What he wrote in his .forward only his own rights show."""
        settings = self._settings
        if settings.mailbox_command:
            return f"delivers to command: {settings.mailbox_command}"
        place = settings.home_mailbox or settings.mail_spool_directory
        return "delivers to maildir" if place.endswith("/") else "delivers to mailbox"

    # -- users ----------------------------------------------------------------------------

    async def mailbox(self, attempt: Attempt, address: str, person: Person, place: Place, *, forward: bool) -> None:
        """A user's mail: his .forward first (unless it is what names him), then wherever mailboxes are."""
        login, name = person.login, person.login or person.base
        mailbox = ("mailbox", split_address(address)[0].lower())
        try:
            passed = await self._transport(self._transport_maps, self._settings.mailbox_transport, name)
            if login is None and not passed:
                await self._unknown(attempt, address, person, place)
                return
        except TableRetry:
            attempt.part(address, Fate.DEFERRED, "4.3.0", "table lookup failure")
            return
        if attempt.request.trace_only and not passed:
            if attempt.once(*mailbox):
                attempt.part(address, Fate.DELIVERED, "2.0.0", self._place())
            return
        if forward and login is not None and not attempt.request.trace_only:
            if not attempt.once("forward", mailbox[1]):
                return
            # One errand for both, where nothing else is to be done between .forward and mailbox.
            both = not passed and mailbox not in attempt.seen
            if await self._errand(attempt, address, person, place, "user" if both else "forward"):
                return
            if both:
                attempt.seen.add(mailbox)
                return
        if not attempt.once(*mailbox):
            return
        if passed:
            await self._pass_on(attempt, address, place, passed)
        else:
            await self._errand(attempt, address, person, place, "mailbox")

    async def _errand(self, attempt: Attempt, address: str, person: Person, place: Place, operation: str) -> bool:
        """An errand of a user's; whether his .forward was followed."""
        assert person.login is not None
        index = attempt.queued.index
        report = await attempt.run(address, place, operation, (person.login,), person.extension)
        attempt.add(self.results(report, index), address, None if report.forwarded else place)
        if report.spool:
            spooled = await attempt.run(address, place, "spool", (person.login,), person.extension)
            attempt.add(self.results(spooled, index), address, place)
        if report.forwarded:
            attempt.expanded = attempt.expanded or "expanded"
            below = replace(place, within=Within.FORWARD, name=person.base, user=person.login)
            await attempt.named(report, person.unmatched, below)
        return report.forwarded

    async def _transport(self, maps: Maps, fixed: str, name: str) -> str:
        row = await maps.lookup(name)
        return row.value if row is not None else fixed

    async def _pass_on(self, attempt: Attempt, address: str, place: Place, target: str) -> None:
        """mailbox_transport and fallback_transport: another agent takes it, for the address that it has come to."""
        transport, _, nexthop = target.partition(":")
        agent = self._agents.get(transport)
        if agent is None:
            attempt.part(address, Fate.DEFERRED, "4.3.0", "mail transport unavailable")
            return
        self._log.info(f"{attempt.request.queue_id}: passing <{quote_address(address)}> to transport={transport}")
        passed = replace(
            attempt.request,
            sender=place.sender,
            transport=transport,
            nexthop=nexthop or self._settings.myhostname,
            recipients=(attempt.at(address, place),),
        )
        attempt.add([replace(one, transport=transport) for one in await agent.deliver(passed)], address, place)

    async def _unknown(self, attempt: Attempt, address: str, person: Person, place: Place) -> None:
        """fallback_transport, luser_relay, or nobody. Raises TableRetry."""
        local_part, domain = split_address(address)
        relayed = RELAYED in place.above
        if not relayed and not attempt.once("unknown", local_part.lower()):
            return
        base, extension = person.base, person.extension
        passed = await self._transport(self._fallback_maps, self._settings.fallback_transport, base)
        if passed:
            await self._pass_on(attempt, address, place, passed)
            return
        relay = self._settings.luser_relay
        if relay and not relayed:
            delimiter = person.unmatched[:1] or self._settings.recipient_delimiter[:1]
            values = {"user": base, "local": local_part, "mailbox": local_part, "extension": extension}
            values |= {"recipient": address, "domain": domain, "recipient_delimiter": delimiter}
            below = replace(place, name=RELAYED, above=(*place.above, RELAYED))
            address = expand_with(relay, values)
            await attempt.address(address.removeprefix("\\"), "", below, mailbox=address.startswith("\\"))
        elif base in REQUIRED:
            self.warn(f"required alias not found: {base}")
            attempt.part(address, Fate.DELIVERED, "2.0.0", "discarded")
        else:
            attempt.part(address, Fate.BOUNCED, "5.1.1", f'unknown user: "{base}"')

    # -- forwards -------------------------------------------------------------------------

    async def send_on(
        self,
        request: DeliveryRequest,
        queued: QueuedRecipient,
        sender: str,
        addresses: list[Sent],
        *,
        expanded: bool,
    ) -> Outcome:
        """Through the one door, as a new message."""
        given = queued.recipient
        notify = given.notify
        if expanded and notify & Notify.SUCCESS:
            notify = notify & ~Notify.SUCCESS or Notify.NEVER
        transaction = self._intake.begin()
        try:
            if "forward" in self._settings.prepend_delivered_header:
                await transaction.write(delivery_fields(None, delivered_to=given.address))
            await transaction.write(request.content.header)
            await transaction.write(b"\r\n")
            async for chunk in request.content.body.chunks():
                await transaction.write(chunk)
            recipients = [
                Recipient(one.address, "")
                if one.owned
                else Recipient(one.address, one.original or given.address, notify, given.orcpt)
                for one in addresses
            ]
            envelope = Envelope(
                sender=sender,
                recipients=tuple(recipients),
                client=replace(request.client, protocol=""),
                local_rewrite=request.local_rewrite,
                ret=request.ret,
                envid=request.envid,
                smtputf8=request.smtputf8,
                body=request.body,
            )
            answer = await transaction.commit(envelope, self._received(transaction.queue_id), Handling())
        except BaseException:
            transaction.abort()
            raise
        if isinstance(answer, Accepted):
            dsn = Dsn("2.0.0", f"forwarded as {answer.queue_id}", "relayed")
            return Outcome(queued.index, Fate.DELIVERED, dsn, self._service)
        fate = Fate.DEFERRED if answer.code < 500 else Fate.BOUNCED
        return self.outcome(queued.index, fate, answer.status, f"unable to forward message: {answer.text}")

    def outcome(self, index: int, fate: Fate, status: str, reason: str) -> Outcome:
        """relay= in the log is the service's name, so that a second `local` line of master.cf can be told apart."""
        return Outcome(index, fate, Dsn(status, reason), self._service)

    def warn(self, text: str) -> None:
        """A warning in the service's log."""
        self._log.warning(text)
