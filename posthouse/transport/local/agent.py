"""The local delivery agent: local(8) as the mail worker sees it.

It looks at aliases, finds out who is meant, and passes on: addresses go back through the one
door (intake) as one new message, other transports get the request, and what needs a user's
rights is an errand for the hands. A forward counts as delivered only after intake's reply.

An alias that names several local users is forwarded to them all, so that each has a fate of
its own in the queue: local(8) delivers them one after another in one attempt, and repeats all
of them when one fails.

Standards: aliases(5); RFC 5321 section 3.4 (forwarding), 3.9 (lists); RFC 9228 (Delivered-To).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from posthouse.address.address import split_address
from posthouse.address.local_part import quote_address, split_extension, unquote_address
from posthouse.envelope.envelope import Envelope, Notify, Recipient
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryAgent, DeliveryRequest, QueuedRecipient
from posthouse.intake.transaction import Accepted, Handling, Intake
from posthouse.mda.copy import delivery_fields
from posthouse.message.header import field_value, scan_fields
from posthouse.tables.maps import Maps
from posthouse.tables.table import Row, TableRetry
from posthouse.transport.errands import errand_of, outcomes
from posthouse.transport.hands import Hands, Report
from posthouse.transport.local.expansion import Item, Kind, parse_expansion
from posthouse.transport.local.people import People
from posthouse.transport.local.settings import LocalSettings

ADDRESSES = (Kind.ADDRESS, Kind.MAILBOX)
"""What an agent forwards by itself; the rest needs the rights of the alias's owner."""

ALIAS_DEPTH = 100
"""Aliases within aliases that a probe follows, as deep as local(8) does."""


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
        received: Callable[[str], bytes],
    ) -> None:
        """`qualify` completes an address with our domains; `received` makes the Received field of a forward from its
        queue id; `agents` holds the other transports by name (it may be filled later)."""
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
        self._received = received

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """One Outcome per recipient."""
        return [await self._one(request, queued) for queued in request.recipients]

    async def _one(self, request: DeliveryRequest, queued: QueuedRecipient) -> Outcome:
        recipient = queued.recipient
        local_part, _ = split_address(recipient.address)
        local_part = unquote_address(local_part)
        if delivered_to(request.content.header, recipient.address):
            return self._outcome(queued.index, Fate.BOUNCED, "5.4.6", f"mail forwarding loop for {recipient.address}")
        try:
            row, extension = await self._alias(local_part)
        except TableRetry as retry:
            return self._outcome(queued.index, Fate.DEFERRED, "4.3.0", f"alias database unavailable: {retry}")
        if row is not None and request.trace_only:
            parts = await self._traced(request, queued, row, local_part, extension, [])
            return _whole(queued.index, parts, self._service)
        if row is not None:
            return await self._expand(request, queued, row, local_part, extension)
        return await self._user(request, queued, local_part)

    async def _alias(self, local_part: str) -> tuple[Row | None, str]:
        """The alias's row and the extension that was not part of its name."""
        row = await self._aliases.lookup(local_part)
        if row is not None:
            return row, ""
        base, extension = self._split(local_part)
        if extension:
            row = await self._aliases.lookup(base)
        return row, extension

    def _split(self, local_part: str) -> tuple[str, str]:
        return split_extension(local_part, self._settings.recipient_delimiter)

    async def _traced(
        self, request: DeliveryRequest, queued: QueuedRecipient, row: Row, name: str, extension: str, above: list[str]
    ) -> list[Outcome]:
        """What an alias would do, part by part. What only its owner may read (:include: files) is named, not read."""
        if name.lower() in above or len(above) >= ALIAS_DEPTH:
            text = f"possible alias database loop for {name}"
            return [self._outcome(queued.index, Fate.BOUNCED, "5.4.6", text)]
        _, home = split_address(queued.recipient.address)
        above = [*above, name.lower()]
        parts: list[Outcome] = []
        for item in parse_expansion(row.value):
            if item.kind not in ADDRESSES:
                words = {Kind.COMMAND: "delivers to command", Kind.FILE: "delivers to file", Kind.INCLUDE: "includes"}
                text = f"{words[item.kind]}: {item.value}"
                parts.append(self._outcome(queued.index, Fate.DELIVERED, "2.0.0", text))
                continue
            address = self._qualify(self._extended(item, extension))
            local_part, domain = split_address(address)
            local_part = unquote_address(local_part)
            found: Row | None = None
            if domain.lower() != home.lower():
                outcome = await self._forward(request, queued, [address], request.sender)
            elif item.kind is Kind.MAILBOX or local_part.lower() == name.lower():
                outcome = await self._user(request, queued, local_part)
            else:
                try:
                    found, rest = await self._alias(local_part)
                except TableRetry as retry:
                    text = f"alias database unavailable: {retry}"
                    parts.append(self._outcome(queued.index, Fate.DEFERRED, "4.3.0", text))
                    continue
                if found is not None:
                    parts += await self._traced(request, queued, found, local_part, rest, above)
                    continue
                outcome = await self._user(request, queued, local_part)
            parts.append(replace(outcome, log_recipient=address))
        return parts

    def _place(self) -> str:
        """Where a user's mail would go, in local(8)'s words. What he wrote in his .forward only his own rights show."""
        settings = self._settings
        if settings.mailbox_command:
            return f"delivers to command: {settings.mailbox_command}"
        place = settings.home_mailbox or settings.mail_spool_directory
        return "delivers to maildir" if place.endswith("/") else "delivers to mailbox"

    async def _expand(
        self, request: DeliveryRequest, queued: QueuedRecipient, row: Row, local_part: str, extension: str
    ) -> Outcome:
        """An alias: follow aliases that lead to aliases, then forward, and have commands and files carried out."""
        name = row.key or local_part
        items = parse_expansion(row.value)
        if not items:
            return self._outcome(queued.index, Fate.DEFERRED, "4.3.5", f"alias {name} has an empty expansion")
        parts: list[Outcome] = []
        addresses = [self._qualify(self._extended(item, extension)) for item in items if item.kind in ADDRESSES]
        errands: list[tuple[str, ...]] = []
        if any(item.kind in (Kind.COMMAND, Kind.FILE) for item in items):
            errands.append(("alias", name))
        included = sum(item.kind is Kind.INCLUDE for item in items)
        errands += [("include", name, str(number)) for number in range(included)]
        for operation, *names in errands:
            report = await self._run(request, queued, operation, tuple(names), extension)
            parts += outcomes(report, (queued.index,), self._service)
            addresses += [self._qualify(address) for address in report.forwards]
        if errands and not parts and not addresses:
            parts.append(self._outcome(queued.index, Fate.DELIVERED, "2.0.0", f"alias {name} includes nobody"))
        # A user whose alias names himself ("tony: \\tony, bob@elsewhere"): his own mailbox, without another look here.
        himself = self._qualify(local_part).lower()
        rest = [address for address in dict.fromkeys(addresses) if address.lower() != himself]
        if len(rest) < len(dict.fromkeys(addresses)):
            parts.append(await self._user(request, queued, local_part))
        if rest:
            sender = await self._owner(request.sender, local_part)
            parts.append(await self._forward(request, queued, rest, sender))
        return _whole(queued.index, parts, self._service)

    def _extended(self, item: Item, extension: str) -> str:
        """propagate_unmatched_extensions = alias: tony+x with "tony: bob" goes to bob+x."""
        if not extension or "alias" not in self._settings.propagate_unmatched_extensions:
            return item.value
        local_part, domain = split_address(item.value)
        if self._split(local_part)[1]:
            return item.value
        delimiter = self._settings.recipient_delimiter[:1]
        return f"{local_part}{delimiter}{extension}" + (f"@{domain}" if domain else "")

    async def _owner(self, sender: str, alias: str) -> str:
        """owner-alias takes the bounces of what the alias sends on."""
        if not self._settings.owner_request_special and not sender:
            return sender
        base, _ = self._split(alias)
        try:
            row = await self._aliases.lookup(f"owner-{base}")
        except TableRetry:
            return sender
        if row is None or not sender:
            return sender
        if self._settings.expand_owner_alias:
            items = parse_expansion(row.value)
            if len(items) == 1 and items[0].kind is Kind.ADDRESS:
                return self._qualify(items[0].value)
        return self._qualify(f"owner-{base}")

    async def _person(self, local_part: str) -> str | None:
        """The login of this local part, or None."""
        loop = asyncio.get_running_loop()
        person = await loop.run_in_executor(None, self._people.find, local_part)
        if person is None:
            base, extension = self._split(local_part)
            if extension:
                person = await loop.run_in_executor(None, self._people.find, base)
        return None if person is None else person.login

    async def _user(self, request: DeliveryRequest, queued: QueuedRecipient, local_part: str) -> Outcome:
        base, extension = self._split(local_part)
        try:
            login = await self._person(local_part)
        except OSError as error:
            return self._outcome(
                queued.index, Fate.DEFERRED, "4.3.0", f"user lookup error for {base}: {error.strerror}"
            )
        if login is not None and login.lower() == local_part.lower():
            extension = ""
        try:
            passed = await self._transport(self._transport_maps, self._settings.mailbox_transport, login or base)
            if passed:
                return await self._pass_on(request, queued, passed, login or base)
            if login is None:
                return await self._unknown(request, queued, local_part, base, extension)
        except TableRetry as retry:
            return self._outcome(queued.index, Fate.DEFERRED, "4.3.0", f"table lookup problem: {retry}")
        if request.trace_only:
            return self._outcome(queued.index, Fate.DELIVERED, "2.0.0", self._place())
        report = await self._run(request, queued, "user", (login,), extension)
        parts = outcomes(report, (queued.index,), self._service)
        if report.spool:
            spooled = await self._run(request, queued, "spool", (login,), extension)
            parts += outcomes(spooled, (queued.index,), self._service)
        if report.forwards:
            addresses = [self._qualify(address) for address in report.forwards]
            parts.append(await self._forward(request, queued, addresses, request.sender))
        return _whole(queued.index, parts, self._service)

    async def _run(
        self, request: DeliveryRequest, queued: QueuedRecipient, operation: str, names: tuple[str, ...], extension: str
    ) -> Report:
        # The extension becomes part of a file name: forward_path. Postfix too goes on without one that holds "/".
        extension = "" if "/" in extension else extension
        errand = errand_of(request, operation, self._service, names, queued, extension)
        return await self._hands.run(errand, request.content)

    async def _transport(self, maps: Maps, fixed: str, name: str) -> str:
        row = await maps.lookup(name)
        return row.value if row is not None else fixed

    async def _pass_on(self, request: DeliveryRequest, queued: QueuedRecipient, target: str, login: str) -> Outcome:
        """mailbox_transport and fallback_transport: another agent takes it, for this login."""
        transport, _, nexthop = target.partition(":")
        agent = self._agents.get(transport)
        if agent is None:
            return self._outcome(queued.index, Fate.DEFERRED, "4.3.0", "mail transport unavailable")
        passed = replace(
            request, transport=transport, nexthop=nexthop or self._settings.myhostname, recipients=(queued,)
        )
        (outcome,) = await agent.deliver(passed)
        return outcome

    async def _unknown(
        self, request: DeliveryRequest, queued: QueuedRecipient, local_part: str, base: str, extension: str
    ) -> Outcome:
        passed = await self._transport(self._fallback_maps, self._settings.fallback_transport, base)
        if passed:
            return await self._pass_on(request, queued, passed, base)
        relay = self._settings.luser_relay
        if relay:
            _, domain = split_address(queued.recipient.address)
            values = {"user": base, "local": local_part, "extension": extension, "recipient": queued.recipient.address}
            for name, value in {**values, "domain": domain}.items():
                relay = relay.replace("${" + name + "}", value).replace(f"$({name})", value).replace(f"${name}", value)
            return await self._forward(request, queued, [self._qualify(relay)], request.sender)
        return self._outcome(queued.index, Fate.BOUNCED, "5.1.1", f'unknown user: "{local_part}"')

    async def _forward(
        self, request: DeliveryRequest, queued: QueuedRecipient, addresses: list[str], sender: str
    ) -> Outcome:
        """Through the one door, as a new message. RFC 3461 section 5.2.7.1: NOTIFY goes along to a single address."""
        if request.trace_only:
            return self._outcome(queued.index, Fate.DELIVERED, "2.0.0", f"forwards to {', '.join(addresses)}")
        recipient = queued.recipient
        notify = recipient.notify if len(addresses) == 1 else recipient.notify & ~Notify.SUCCESS
        original = recipient.original or recipient.address
        transaction = self._intake.begin()
        try:
            if "forward" in self._settings.prepend_delivered_header:
                await transaction.write(delivery_fields(None, delivered_to=recipient.address))
            await transaction.write(request.content.header)
            await transaction.write(b"\r\n")
            async for chunk in request.content.body.chunks():
                await transaction.write(chunk)
            envelope = Envelope(
                sender=sender,
                recipients=tuple(Recipient(address, original, notify, recipient.orcpt) for address in addresses),
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
        return self._outcome(queued.index, fate, answer.status, f"unable to forward message: {answer.text}")

    def _outcome(self, index: int, fate: Fate, status: str, reason: str) -> Outcome:
        """relay= in the log is the service's name, so that a second `local` line of master.cf can be told apart."""
        return Outcome(index, fate, Dsn(status, reason), self._service)


def delivered_to(header: bytes, address: str) -> bool:
    """Whether a Delivered-To field says that this address has had the message. RFC 9228 section 3."""
    if b"delivered-to" not in header.lower():
        return False
    fields, _ = scan_fields(header)
    named = (field_value(header, field) for field in fields if field.name == b"delivered-to")
    return quote_address(address).lower() in (value.strip().lower() for value in named)


def _whole(index: int, parts: list[Outcome], service: str) -> Outcome:
    """Several parts as one fate: deferred when one is, else bounced when one is, else delivered."""
    if not parts:
        return Outcome(index, Fate.DEFERRED, Dsn("4.3.5", "nothing to deliver to"), service)
    for fate in (Fate.DEFERRED, Fate.BOUNCED, Fate.DELIVERED):
        for part in parts:
            if part.fate is fate:
                return part if len(parts) == 1 else replace(part, parts=tuple(parts))
    raise AssertionError("an outcome without a fate")
