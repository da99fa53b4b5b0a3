"""Whether a bare user name stands for user@domain: the domain is $myorigin, in $mydestination, or our address.

Standards: canonical(5), "TABLE SEARCH ORDER".
"""

from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.host.interfaces import interface_addresses
from posthouse.tables.cidr import parse_address
from posthouse.tables.match_list import MatchList, open_match_list


@dataclass(frozen=True, slots=True)
class LocalDomainSettings:
    """The parameters that make a domain ours."""

    myorigin: str
    mydestination: str
    inet_interfaces: tuple[str, ...]
    proxy_interfaces: tuple[str, ...]


class LocalDomains:
    """Read when first asked."""

    __slots__ = ("_configuration", "_list", "_origin", "_settings")

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._settings: LocalDomainSettings | None = None
        self._list: MatchList | None = None
        self._origin = ""

    async def is_local(self, domain: str) -> bool:
        """Whether it is ours. Raises TableRetry."""
        if self._list is None:
            self._settings = read_settings(LocalDomainSettings, self._configuration)
            self._origin = self._settings.myorigin.lower()
            self._list = open_match_list(
                self._settings.mydestination, self._configuration, "mydestination", parent_domains=False
            )
        domain = domain.lower()
        if domain == self._origin or await self._list.matches(domain) is not None:
            return True
        return domain.startswith("[") and domain.endswith("]") and self._is_own_address(domain[1:-1])

    def _is_own_address(self, text: str) -> bool:
        assert self._settings is not None
        if ":" in text and not text.startswith("ipv6:"):
            return False  # RFC 5321 section 4.1.3: an IPv6 literal has its tag
        address = parse_address(text.removeprefix("ipv6:"))
        listed = {*self._settings.inet_interfaces, *self._settings.proxy_interfaces}
        own = listed - {"all", "loopback-only"}
        if "all" in listed or "loopback-only" in listed:
            own |= {interface.address for interface in interface_addresses()}
        return address is not None and any(parse_address(one.strip("[]")) == address for one in own)
