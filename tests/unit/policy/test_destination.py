"""Relay control."""

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.policy.restrictions.destination import Destination
from posthouse.policy.settings import CheckSettings
from posthouse.routing.address_class import AddressClass
from posthouse.routing.recipients import Unlisted
from posthouse.routing.resolve import Resolution


class RelayedOnly:
    async def resolve(self, sender: str, address: str) -> Resolution:
        return Resolution("relay", "rl.example", address, AddressClass.RELAY, (), "%" in address)

    async def unlisted(self, address: str) -> Unlisted | None:
        return None


@pytest.mark.parametrize(
    ("allow", "address", "authorized"),
    [("no", "u@rl.example", True), ("no", "u%else.test@rl.example", False), ("yes", "u%else.test@rl.example", True)],
)
async def test_nobody_is_relayed_through_a_relayed_domain(allow: str, address: str, authorized: bool) -> None:
    settings = read_settings(CheckSettings, Configuration("/nowhere", {"allow_untrusted_routing": allow}))
    found = await Destination(settings, RelayedOnly()).authorized(address)
    assert (found is not None) is authorized
