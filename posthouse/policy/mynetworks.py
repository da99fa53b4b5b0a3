"""permit_mynetworks: whether a client is one of ours, asked once per connection."""

from typing import Protocol

from posthouse.envelope.verdict import DUNNO, Verdict
from posthouse.policy.facts import Facts, Subject


class HostList(Protocol):
    """A list of networks, addresses and host names."""

    async def matches(self, name: str, address: str = "") -> str | None:
        """The word that matched and why, or None."""


class Mynetworks:
    """The restriction."""

    def __init__(self, hosts: HostList) -> None:
        self._hosts = hosts

    async def permit_mynetworks(self, facts: Facts, subject: Subject) -> Verdict:
        """A client in mynetworks."""
        trusted = facts.trusted
        if trusted is None:
            found = await self._hosts.matches(facts.client.name, facts.client.address)
            trusted = facts.trusted = "" if found is None else f"mynetworks: {found}"
        return facts.permit(trusted) if trusted else DUNNO
