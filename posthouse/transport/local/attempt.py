"""One recipient's delivery by local(8): aliases and .forward files are followed where they lead, in one attempt.

An address that an alias names is delivered to at once when it is a user of this machine, under
the queue id that it came with; the fields of a delivery name the recipient that was queued. What
goes elsewhere is sent on as one new message, and so are the users that the owner of a list, a
.forward or an include file names: those have the owner as sender, or must not be delivered to with
another's rights. Each mailbox, address, command and file is served once.

Where a part fails for now, nothing is sent on, and the whole is tried again. A user among several who fails for now is
rather sent on by himself: the others have the message already (local(8) gives it to them again).

Standards: aliases(5), local(8); RFC 5321 section 3.4 (forwarding), 3.9 (lists); RFC 9228 (Delivered-To).
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from posthouse.address.address import fold, split_address
from posthouse.address.local_part import quote_address
from posthouse.envelope.outcome import Fate, Outcome
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.message.header import field_value, scan_fields
from posthouse.tables.table import Row, TableRetry
from posthouse.transport.hands import Report
from posthouse.transport.local.expansion import Kind, parse_expansion

ALIAS_DEPTH = 25
"""Aliases within aliases that are followed, as in local(8)."""

TRACED = {Kind.COMMAND: "delivers to command", Kind.FILE: "delivers to file", Kind.INCLUDE: "includes"}
"""What a probe says of a part that it does not carry out."""


class Within(Enum):
    """What names the address; the words of propagate_unmatched_extensions."""

    QUEUE = "queue"
    ALIAS = "alias"
    FORWARD = "forward"
    INCLUDE = "include"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the expansion an address stands."""

    within: Within
    name: str
    """The alias, or the user whose .forward it is; "" for the queued recipient."""
    above: tuple[str, ...]
    """The aliases that lead here."""
    sender: str
    original: str
    """X-Original-To; "" below an alias with an owner: its members are recipients of a message of its own."""
    owned: bool = False
    """Whether an alias with an owner is above."""
    user: str | None = None
    """With whose rights the rest is done: the user of a .forward; "" for an include file's; None: nobody's yet."""

    @property
    def owner(self) -> str:
        """The owner, who is told of failures; "" where the sender is."""
        return self.sender if self.owned else ""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a local part means."""

    login: str | None
    base: str
    unmatched: str = ""
    """The extension, with the delimiter before it."""

    @property
    def extension(self) -> str:
        """Without it."""
        return self.unmatched[1:]


@dataclass(frozen=True, slots=True)
class Sent:
    """An address to send on to."""

    address: str
    original: str
    owned: bool


class Post(Protocol):
    """What an attempt needs of the agent."""

    async def alias(self, name: str) -> Row | None:
        """A row of alias_maps. Raises TableRetry."""

    async def owner(self, alias: str) -> str | None:
        """The address that takes what an alias's members send back; None without. Raises TableRetry."""

    def qualify(self, address: str) -> str:
        """The address in standard form."""

    async def is_here(self, address: str) -> bool:
        """Whether it is delivered by this very service. Raises TableRetry."""

    def split(self, local_part: str) -> tuple[str, str]:
        """(base, the rest with its delimiter)."""

    def propagated(self, unmatched: str, kind: Within) -> str:
        """As much of an extension as goes along: propagate_unmatched_extensions."""

    async def person(self, local_part: str) -> Person:
        """Whom it means. Raises OSError."""

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

    def results(self, report: Report, index: int) -> list[Outcome]:
        """Its results."""

    async def mailbox(self, attempt: "Attempt", address: str, person: Person, place: Place, *, forward: bool) -> None:
        """A user's mailbox, by way of his .forward or not; or whatever unknown users get."""

    async def send_on(
        self,
        request: DeliveryRequest,
        queued: QueuedRecipient,
        sender: str,
        addresses: list[Sent],
        *,
        expanded: bool,
    ) -> Outcome:
        """Through the one door; `expanded`: the sender is told of that, so of no delivery any more."""

    def outcome(self, index: int, fate: Fate, status: str, reason: str) -> Outcome:
        """With the service's name."""

    def warn(self, text: str) -> None:
        """A warning in the service's log."""


class Attempt:
    """The delivery of one queued recipient."""

    def __init__(
        self, post: Post, request: DeliveryRequest, queued: QueuedRecipient, seen: set[tuple[str, ...]]
    ) -> None:
        self._post = post
        self.request = request
        self.queued = queued
        self.seen = seen
        """What was served already, of the whole request: ("mailbox", local part), ("address", address) …"""
        self._parts: list[Outcome] = []
        self._sent: dict[str, list[Sent]] = {}
        """What is to be sent on, by sender."""
        self._movable: dict[int, tuple[str, Sent]] = {}
        """By the part's number: the users that could be sent on by themselves."""
        self.expanded = ""
        """Whether an alias or a .forward was followed: the action of the notice that says so."""

    async def deliver(self) -> Outcome:
        """The fate of the whole."""
        recipient = self.queued.recipient
        await self.recipient(recipient.address, Place(Within.QUEUE, "", (), self.request.sender, recipient.original))
        self._move()
        if not any(part.fate is Fate.DEFERRED for part in self._parts):
            for sender, addresses in self._sent.items():
                alias = bool(self.expanded)
                self._parts.append(
                    await self._post.send_on(self.request, self.queued, sender, addresses, expanded=alias)
                )
        if not self._parts:
            self.part(recipient.address, Fate.DELIVERED, "2.0.0", "nobody is included")
        if len(self._parts) > 1:
            self._parts = [replace(p, log_recipient=p.log_recipient or recipient.address) for p in self._parts]
        return replace(whole(self._parts), expanded=self.expanded)

    def _move(self) -> None:
        """Users who fail for now are sent on, when the others must not get the message again."""
        deferred = [number for number, part in enumerate(self._parts) if part.fate is Fate.DEFERRED]
        if not any(part.fate is Fate.DELIVERED for part in self._parts):
            return
        if any(number not in self._movable for number in deferred):
            return
        for number in deferred:
            sender, one = self._movable[number]
            self._sent.setdefault(sender, []).append(one)
        self._parts = [part for number, part in enumerate(self._parts) if number not in deferred]

    # -- parts ----------------------------------------------------------------------------

    def once(self, *key: str) -> bool:
        """Whether this was not served before."""
        if key in self.seen:
            return False
        self.seen.add(key)
        return True

    def part(self, address: str, fate: Fate, status: str, reason: str, owner: str = "") -> None:
        """What became of a part without an errand."""
        self.add([self._post.outcome(self.queued.index, fate, status, reason)], address, owner=owner)

    def add(self, parts: list[Outcome], address: str, place: Place | None = None, owner: str = "") -> None:
        """Parts; with `place`: of a user, who may be sent on by himself; with `owner`: he is told of failures."""
        for part in parts:
            if owner:
                part = replace(part, owner=owner)
            if place is not None:
                self._movable[len(self._parts)] = (place.sender, Sent(address, place.original, place.owned))
            if not part.log_recipient and address != self.queued.recipient.address:
                part = replace(part, log_recipient=address)
            self._parts.append(part)

    async def run(self, address: str, place: Place, operation: str, names: tuple[str, ...], extension: str) -> Report:
        """An errand for the address that a part has come to."""
        request = self.request if place.sender == self.request.sender else replace(self.request, sender=place.sender)
        queued = self.at(address, place)
        return await self._post.run(request, queued, operation, names, extension, self.queued.recipient.address)

    def at(self, address: str, place: Place) -> QueuedRecipient:
        """The recipient as the address that it has come to."""
        recipient = replace(self.queued.recipient, address=address, original=place.original)
        return replace(self.queued, recipient=recipient)

    # -- addresses ------------------------------------------------------------------------

    async def recipient(self, address: str, place: Place, *, mailbox: bool = False) -> None:
        """An address of this machine; `mailbox`: no alias, no .forward."""
        if delivered_to(self.request.content.header, address):
            self.part(address, Fate.BOUNCED, "5.4.6", f"mail forwarding loop for {address}", place.owner)
            return
        local_part = fold(split_address(address)[0])
        if not mailbox:
            for name, left in dict.fromkeys(((local_part, ""), self._post.split(local_part))):
                if name == place.name:
                    continue  # an alias that names itself means the user; so does a .forward
                if name in place.above or len(place.above) >= ALIAS_DEPTH:
                    self._loop(address, name, place)
                    return
                try:
                    row = await self._post.alias(name)
                except TableRetry:
                    self.part(address, Fate.DEFERRED, "4.3.0", "alias database unavailable")
                    return
                if row is not None:
                    await self._expand(address, row, name, left, place)
                    return
        try:
            person = await self._post.person(local_part)
        except OSError as error:
            self.part(address, Fate.DEFERRED, "4.3.0", f"user lookup error for {local_part}: {error.strerror}")
            return
        himself = place.user is not None and (person.login or person.base) == place.user
        if place.owned or (place.user is not None and not himself):
            self.send_on(address, place)
        else:
            await self._post.mailbox(self, address, person, place, forward=not mailbox and not himself)

    async def address(self, given: str, unmatched: str, place: Place, *, mailbox: bool = False) -> None:
        """An address that an expansion names; `unmatched` is the extension that it gets."""
        local_part, domain = split_address(given)
        address = self._post.qualify(local_part + unmatched + (f"@{domain}" if domain else ""))
        try:
            here = await self._post.is_here(address)
        except TableRetry as retry:
            self.part(address, Fate.DEFERRED, "4.3.0", f"address resolution failed: {retry}")
            return
        if here:
            await self.recipient(address, place, mailbox=mailbox)
        else:
            self.send_on(address, place)

    def send_on(self, address: str, place: Place) -> None:
        """Note an address for the new message."""
        if delivered_to(self.request.content.header, address):
            self.part(address, Fate.BOUNCED, "5.4.6", f"mail forwarding loop for {address}", place.owner)
        elif self.once("address", fold(address)):
            if self.request.trace_only:
                self.part(address, Fate.DELIVERED, "2.0.0", f"forwards to {address}", place.owner)
            else:
                self._sent.setdefault(place.sender, []).append(Sent(address, place.original, place.owned))

    # -- aliases --------------------------------------------------------------------------

    async def _expand(self, address: str, row: Row, name: str, unmatched: str, place: Place) -> None:
        """An alias, item by item."""
        if self.request.verification:
            self.part(address, Fate.DELIVERED, "2.0.0", f"aliased to {row.value}")
            return
        items = parse_expansion(row.value)
        if not items:
            self.part(address, Fate.DEFERRED, "4.3.5", f"alias {name} has an empty expansion")
            return
        try:
            owner = await self._post.owner(name)
        except TableRetry:
            self.part(address, Fate.DEFERRED, "4.3.0", "alias database unavailable")
            return
        below = replace(place, within=Within.ALIAS, name=name, above=(*place.above, name))
        if owner is not None:
            below = replace(below, sender=owner, original="", owned=True)
        self.expanded = self.expanded or ("expanded" if owner is None else "delivered")
        extension = unmatched[1:]
        unmatched = self._post.propagated(unmatched, Within.ALIAS)
        included = 0
        for item in items:
            match item.kind:
                case Kind.ADDRESS | Kind.MAILBOX:
                    await self.address(item.value, unmatched, below, mailbox=item.kind is Kind.MAILBOX)
                case _ if self.request.trace_only:
                    self.part(address, Fate.DELIVERED, "2.0.0", f"{TRACED[item.kind]}: {item.value}", below.owner)
                case Kind.COMMAND | Kind.FILE if self.once("alias", name):
                    # All of them in one errand: the hands know them by the alias's name.
                    report = await self.run(address, below, "alias", (row.key or name,), extension)
                    self.add(self._post.results(report, self.queued.index), address, owner=below.owner)
                case Kind.INCLUDE:
                    names = (row.key or name, str(included))
                    included += 1
                    report = await self.run(address, below, "include", names, extension)
                    self.add(self._post.results(report, self.queued.index), address, owner=below.owner)
                    inside = replace(below, within=Within.INCLUDE, user=below.user or "")
                    await self.named(report, unmatched, inside)

    def _loop(self, address: str, name: str, place: Place) -> None:
        """local(8) goes round and round to the limit, and names the alias where it gives up."""
        start = place.above.index(name) if name in place.above else len(place.above)
        circle = place.above[start:] or (name,)
        named = circle[(ALIAS_DEPTH - start) % len(circle)]
        self._post.warn(f"alias database loop for {named}")
        if named != name:
            address = f"{named}@{split_address(address)[1]}"
        self.part(address, Fate.BOUNCED, "5.4.6", f"alias database loop for {named}")

    async def named(self, report: Report, unmatched: str, place: Place) -> None:
        """What a .forward or an include file named, as the hands report it."""
        unmatched = self._post.propagated(unmatched, place.within)
        for text in report.forwards:
            await self.address(text.removeprefix("\\"), unmatched, place, mailbox=text.startswith("\\"))


def delivered_to(header: bytes, address: str) -> bool:
    """Whether a Delivered-To field says that this address has had the message. RFC 9228 section 3."""
    if b"delivered-to" not in header.lower():
        return False
    fields, _ = scan_fields(header)
    named = (field_value(header, field) for field in fields if field.name == b"delivered-to")
    return quote_address(address).lower() in (value.strip().lower() for value in named)


def whole(parts: list[Outcome]) -> Outcome:
    """Several parts as one fate: deferred when one is, else bounced when one is, else delivered."""
    for fate in (Fate.DEFERRED, Fate.BOUNCED, Fate.DELIVERED):
        for part in parts:
            if part.fate is fate:
                return part if len(parts) == 1 else replace(part, parts=tuple(parts))
    raise AssertionError("an outcome without a fate")
