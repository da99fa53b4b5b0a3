"""Whether a recipient (or a sender of ours) exists, before mail for it is taken.

Whoever is in a canonical or virtual alias table exists; else the table of its address class
tells. An empty table means that nobody is refused. What resolves to the error transport does
not exist, and its text says why.

Standards: RFC 3463 section 3.2 (5.1.1).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.address.address import split_address
from posthouse.address.local_part import quote_address
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.verdict import Evidence
from posthouse.routing.address_class import AddressClass
from posthouse.routing.address_map import AddressMap
from posthouse.routing.probe_sender import is_probe_sender
from posthouse.routing.resolve import Resolution
from posthouse.tables.maps import Maps, open_maps


@dataclass(frozen=True, slots=True)
class RecipientSettings:
    """The tables that list who exists, and how the others are refused."""

    local_recipient_maps: str
    virtual_mailbox_maps: str
    relay_recipient_maps: str
    recipient_delimiter: str
    show_user_unknown_table_name: bool
    double_bounce_sender: str
    address_verify_sender: str
    address_verify_sender_ttl: int
    unknown_local_recipient_reject_code: int
    unknown_virtual_alias_reject_code: int
    unknown_virtual_mailbox_reject_code: int
    unknown_relay_recipient_reject_code: int


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The recipient does not exist."""

    code: int
    status: str
    text: str
    """What follows "Recipient address rejected: ", e.g. "User unknown in local recipient table"."""
    evidence: tuple[Evidence, ...]


class Recipients:
    """Asks the tables."""

    def __init__(
        self,
        settings: RecipientSettings,
        configuration: Configuration,
        aliases: list[AddressMap],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._aliases = aliases
        self._configuration = configuration
        classes = {
            AddressClass.LOCAL: ("local_recipient_maps", settings.local_recipient_maps),
            AddressClass.VIRTUAL_MAILBOX: ("virtual_mailbox_maps", settings.virtual_mailbox_maps),
            AddressClass.RELAY: ("relay_recipient_maps", settings.relay_recipient_maps),
        }
        self._maps: dict[AddressClass, Maps] = {
            address_class: open_maps(value, configuration, parameter)
            for address_class, (parameter, value) in classes.items()
            if value
        }
        self._codes = {
            AddressClass.LOCAL: settings.unknown_local_recipient_reject_code,
            AddressClass.VIRTUAL_ALIAS: settings.unknown_virtual_alias_reject_code,
            AddressClass.VIRTUAL_MAILBOX: settings.unknown_virtual_mailbox_reject_code,
            AddressClass.RELAY: settings.unknown_relay_recipient_reject_code,
        }

    @classmethod
    def open(cls, configuration: Configuration, aliases: list[AddressMap]) -> "Recipients":
        """From main.cf. `aliases` are the canonical and virtual alias maps that are not empty."""
        return cls(read_settings(RecipientSettings, configuration), configuration, aliases)

    async def aliased(self, address: str) -> bool:
        """Whether a canonical or virtual alias table has the address, or it is where notices
        and answers to probes end. Raises TableRetry."""
        settings = self._settings
        if split_address(address)[0].lower() == settings.double_bounce_sender.lower():
            return True
        if is_probe_sender(address, settings.address_verify_sender, settings.address_verify_sender_ttl, self._clock()):
            return True
        for aliases in self._aliases:
            if await aliases.lookup(address) is not None:
                return True
        return False

    async def unlisted(self, resolution: Resolution) -> Unlisted | None:
        """Why a resolved recipient does not exist, or None. Raises TableRetry."""
        address, address_class = resolution.recipient, resolution.address_class
        if await self.aliased(address):
            return None
        if resolution.transport == "error":
            status, text = _status(resolution.nexthop, "5.1.1")
            return Unlisted(self._codes.get(address_class, 550), status, text, resolution.evidence)
        if resolution.transport == "retry":
            status, text = _status(resolution.nexthop, "4.1.1")
            return Unlisted(450, status, text, resolution.evidence)
        maps = self._maps.get(address_class)
        if maps is None:
            return None
        if await maps.lookup_address(quote_address(address), self._settings.recipient_delimiter) is not None:
            return None
        parameter = maps.title
        table = parameter.removesuffix("_maps").replace("_", " ")
        text = f"User unknown in {table} table" if self._settings.show_user_unknown_table_name else "User unknown"
        evidence = Evidence(parameter, self._configuration.origin(parameter), fact=f"{address}: not found")
        return Unlisted(self._codes[address_class], "5.1.1", text, (evidence,))


def _status(text: str, default: str) -> tuple[str, str]:
    """ "5.1.6 User has moved to x" in its parts."""
    status, _, rest = text.partition(" ")
    return (status, rest) if status[:1] in ("4", "5") and status.count(".") == 2 else (default, text)
