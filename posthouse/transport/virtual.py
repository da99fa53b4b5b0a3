"""The virtual delivery agent: virtual(8), mailboxes by table.

The agent sends one errand per recipient; the hands look the recipient up in
virtual_mailbox_maps, virtual_uid_maps and virtual_gid_maps and deliver with those rights.
A path that ends in "/" is a Maildir.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from posthouse.address.address import split_address
from posthouse.address.local_part import split_extension
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.host.durable import make_folder
from posthouse.host.users import Identity
from posthouse.mda.copy import delivery_fields
from posthouse.mda.deposit import (
    DepositFailed,
    DotLock,
    Telling,
    locking_of,
    message_lines,
    to_maildir,
    to_mbox,
)
from posthouse.tables.maps import Maps
from posthouse.tables.table import TableRetry
from posthouse.tables.waiting import wait
from posthouse.transport.errands import errand_of, outcomes
from posthouse.transport.hands import Errand, Hands, Report, bounced, deferred, done


@dataclass(frozen=True, slots=True)
class VirtualSettings:
    """What virtual(8) reads of main.cf."""

    virtual_mailbox_base: str
    virtual_mailbox_maps: str
    virtual_uid_maps: str
    virtual_gid_maps: str
    virtual_minimum_uid: int
    virtual_mailbox_limit: int
    virtual_mailbox_lock: tuple[str, ...]
    deliver_lock_attempts: int
    deliver_lock_delay: int
    stale_lock_time: int
    strict_mailbox_ownership: bool
    recipient_delimiter: str
    message_size_limit: int


class VirtualAgent:
    """Sends each recipient to the hands."""

    def __init__(self, service: str, hands: Hands, mailbox_maps: Maps, delimiter: str) -> None:
        """The maps answer probes; who delivers asks the hands' own."""
        self._service = service
        self._hands = hands
        self._mailboxes = mailbox_maps
        self._delimiter = delimiter

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """One Outcome per recipient."""
        if request.trace_only:
            return [await self._probe(queued) for queued in request.recipients]
        found: list[Outcome] = []
        for queued in request.recipients:
            errand = errand_of(request, "virtual", self._service, (queued.recipient.address,), queued)
            report = await self._hands.run(errand, request.content)
            found += outcomes(report, (queued.index,), "virtual")
        return found

    async def _probe(self, queued: QueuedRecipient) -> Outcome:
        address = queued.recipient.address
        try:
            for key in lookup_keys(address, self._delimiter):
                row = await self._mailboxes.lookup(key)
                if row is not None:
                    dsn = Dsn("2.0.0", f"delivers to {'maildir' if row.value.endswith('/') else 'mailbox'}")
                    return Outcome(queued.index, Fate.DELIVERED, dsn, "virtual")
        except TableRetry:
            dsn = Dsn("4.3.5", "mail system configuration error")
            return Outcome(queued.index, Fate.DEFERRED, dsn, "virtual")
        return Outcome(queued.index, Fate.BOUNCED, Dsn("5.1.1", f'unknown user: "{address}"'), "virtual")


def lookup_keys(address: str, delimiter: str) -> tuple[str, ...]:
    """The whole address, then without its extension, then @domain (virtual(8), TABLE LOOKUPS)."""
    local_part, domain = split_address(address)
    base, _ = split_extension(local_part, delimiter)
    return (address, *((f"{base}@{domain}",) if base != local_part else ()), f"@{domain}")


class VirtualHands:
    """The other side: whose rights, and the delivery."""

    def __init__(
        self,
        settings: VirtualSettings,
        mailbox_maps: Maps,
        uid_maps: Maps,
        gid_maps: Maps,
        clock: Callable[[], float],
        warn: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._warn = warn
        self._mailboxes = mailbox_maps
        self._uids = uid_maps
        self._gids = gid_maps
        self._clock = clock

    def _lookup(self, maps: Maps, address: str) -> str | None:
        for key in lookup_keys(address, self._settings.recipient_delimiter):
            row = wait(maps.lookup(key))
            if row is not None:
                return row.value
        return None

    def identity(self, errand: Errand) -> Identity | Report:
        """Whose rights this recipient's mailbox needs, or why there is none. Table trouble is a deferral."""
        (address,) = errand.names
        try:
            if self._lookup(self._mailboxes, address) is None:
                return bounced("5.1.1", f'unknown user: "{address}"')
            uid = self._lookup(self._uids, address)
            gid = self._lookup(self._gids, address)
        except TableRetry:
            return deferred("4.3.5", "mail system configuration error")
        for kind, value, least in (("uid", uid, self._settings.virtual_minimum_uid), ("gid", gid, 1)):
            if value is None:
                self._warn(f"recipient {address}: not found in virtual_{kind}_maps")
            elif not value.isdecimal() or int(value) < max(least, 1):
                self._warn(f"recipient {address}: bad {kind} {value} in virtual_{kind}_maps")
            else:
                continue
            return deferred("4.3.5", "mail system configuration error")
        assert uid is not None and gid is not None, "both were found"
        return Identity(int(uid), int(gid))

    def deliver(self, errand: Errand, content: int, identity: Identity) -> Report:
        """Put it away; runs with the identity's rights, in a thread."""
        settings = self._settings
        (address,) = errand.names
        found = self._lookup(self._mailboxes, address)
        if found is None:
            return bounced("5.1.1", f'unknown user: "{address}"')
        path = (
            os.path.join(settings.virtual_mailbox_base, found.lstrip("/")) if settings.virtual_mailbox_base else found
        )
        if not path.startswith("/"):
            return deferred("4.3.5", "mail system configuration error")
        lines = message_lines(content, delivery_fields(errand.sender, errand.original_recipient, address))
        limit = settings.virtual_mailbox_limit
        try:
            if path.endswith("/"):
                to_maildir(path, lines, now=self._clock(), size_limit=limit, telling=Telling(warn=self._warn))
                return done("delivered to maildir")
            locking = locking_of(
                settings.virtual_mailbox_lock,
                settings.deliver_lock_attempts,
                settings.deliver_lock_delay,
                settings.stale_lock_time,
            )
            with suppress(OSError):  # what is missing then is told by whoever needs it
                make_folder(os.path.dirname(path))
            to_mbox(
                path,
                lines,
                errand.sender,
                now=self._clock(),
                locking=locking,
                size_limit=limit,
                owner=identity.uid if settings.strict_mailbox_ownership else None,
                unopened=False,
                telling=Telling(f"delivery failed to mailbox {path}: ", "4.2.0", DotLock.NEEDED, self._warn),
            )
        except DepositFailed as failed:
            return (deferred if failed.status.startswith("4") else bounced)(failed.status, failed.reason)
        return done("delivered to mailbox")
