"""Which transport, next hop and recipient address an address means.

The address class gives the transport (local_transport, virtual_transport, relay_transport,
default_transport, or error for virtual aliases that stand for nobody); transport_maps goes
before it, relocated_maps after. relayhost and its sender-dependent kin replace the next hop
of mail for other machines unless the transport names one itself.

Standards: RFC 5321 sections 3.6 and 5.1; RFC 3463 section 3.2 (5.1.1, 5.1.3, 5.1.6).
"""

from dataclasses import dataclass

from posthouse.address.domain import is_domain, is_ipv4
from posthouse.address.local_part import quote_address
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.value import value
from posthouse.envelope.verdict import Evidence
from posthouse.host.log import ProcessLog
from posthouse.routing.address_class import AddressClass
from posthouse.routing.domains import Domains
from posthouse.routing.rewrite import Rewriter
from posthouse.routing.transport_map import TransportMap
from posthouse.tables.maps import Maps, open_maps

STRIP_LIMIT = 100
"""Times a local domain is cut off an address that hides another one before it."""


REASONS = dict.fromkeys(("error", "retry"), "Address is undeliverable")
"""What the agents of failure say where nobody told them what."""


@dataclass(frozen=True, slots=True)
class ResolveSettings:
    """What resolving reads."""

    myhostname: str
    local_transport: str
    virtual_transport: str
    relay_transport: str
    default_transport: str
    relayhost: str
    sender_dependent_relayhost_maps: str
    sender_dependent_default_transport_maps: str
    empty_address_relayhost_maps_lookup_key: str
    empty_address_default_transport_maps_lookup_key: str
    empty_address_recipient: str
    relocated_maps: str
    recipient_delimiter: str
    allow_min_user: bool
    allow_percent_hack: bool
    swap_bangpath: bool
    resolve_null_domain: bool
    resolve_numeric_domain: bool
    resolve_dequoted_address: bool
    show_user_unknown_table_name: bool


@value
class Resolution:
    """Where one recipient goes."""

    transport: str
    """master.cf service name."""
    nexthop: str
    """As the delivery agent wants it; for error and retry the text, with its status in front."""
    recipient: str
    address_class: AddressClass
    evidence: tuple[Evidence, ...]
    routed: bool = False
    """Whether the local part names another place to go on to (user%site, site!user, "user@site"): who relays such mail
    would have the next machine relay it for anybody."""

    @property
    def is_local(self) -> bool:
        """Whether the domain is one of mydestination."""
        return self.address_class is AddressClass.LOCAL


class Resolver:
    """Resolves addresses that are in standard form."""

    def __init__(
        self,
        settings: ResolveSettings,
        configuration: Configuration,
        log: ProcessLog,
        domains: Domains,
        rewriter: Rewriter,
        transport_map: TransportMap | None,
    ) -> None:
        self._settings = settings
        self._configuration = configuration
        self._log = log
        self._domains = domains
        self._rewriter = rewriter
        self._transport_map = transport_map
        self._relocated = self._maps("relocated_maps", settings.relocated_maps)
        self._relayhosts = self._maps("sender_dependent_relayhost_maps", settings.sender_dependent_relayhost_maps)
        self._transports = self._maps(
            "sender_dependent_default_transport_maps", settings.sender_dependent_default_transport_maps
        )
        self.by_sender = self._relayhosts is not None or self._transports is not None
        """Whether the sender has a say."""
        self._why = {
            name: Evidence(name, configuration.origin(name))
            for name in ("local_transport", "virtual_transport", "relay_transport", "default_transport", "relayhost")
        }
        table = " in virtual alias table" if settings.show_user_unknown_table_name else ""
        self._unknown = f"5.1.1 User unknown{table}"

    @classmethod
    def open(cls, configuration: Configuration, log: ProcessLog, domains: Domains, rewriter: Rewriter) -> "Resolver":
        """From main.cf."""
        settings = read_settings(ResolveSettings, configuration)
        return cls(settings, configuration, log, domains, rewriter, TransportMap.open(configuration))

    def _maps(self, parameter: str, value: str) -> Maps | None:
        return open_maps(value, self._configuration, parameter) if value else None

    async def resolve(self, sender: str, address: str) -> Resolution:
        """Where mail from sender (internal form, "" the null path) to address goes. Raises TableRetry."""
        settings = self._settings
        if not address:
            address = settings.empty_address_recipient
            if "@" not in address:
                address = f"{address}@{settings.myhostname}"
        address = await self._innermost(address)
        local_part, at, domain = address.rpartition("@")
        if not at:
            local_part, domain = domain, settings.myhostname
            address = f"{local_part}@{domain}"
        if domain.endswith(".") and len(domain) > 1 and not domain.endswith(".."):
            domain = domain[:-1]
            address = f"{local_part}@{domain}"
        if settings.resolve_numeric_domain and is_ipv4(domain):
            domain = f"[{domain}]"
            address = f"{local_part}@{domain}"
        if not domain and settings.resolve_null_domain:
            address_class, why = AddressClass.LOCAL, self._why["local_transport"]
        elif not is_domain(domain) or (local_part.startswith("-") and not settings.allow_min_user):
            return Resolution("error", "5.1.3 bad address syntax", address, AddressClass.DEFAULT, ())
        else:
            address_class, why = await self._domains.classify(domain)
        evidence = [why]
        transport, nexthop = await self._by_class(address_class, sender, domain, evidence)
        if self._transport_map is not None and address_class is not AddressClass.VIRTUAL_ALIAS:
            row = await self._transport_map.lookup(address)
            if row is not None:
                evidence.append(row.evidence)
                if row.transport:
                    transport, nexthop = row.transport, row.nexthop or REASONS.get(row.transport, domain)
                elif row.nexthop:
                    nexthop = row.nexthop
        if self._relocated is not None and address_class is not AddressClass.VIRTUAL_ALIAS:
            found = await self._relocated.lookup_address(quote_address(address), settings.recipient_delimiter)
            if found is not None:
                origin = self._configuration.origin("relocated_maps")
                fact = f"{found[0].table}: {found[0].key} -> {found[0].value}"
                evidence.append(Evidence("relocated_maps", origin, fact=fact))
                transport, nexthop = "error", f"5.1.6 User has moved to {found[0].value}"
        return Resolution(
            transport, nexthop, address, address_class, tuple(evidence), self._routed(address.rpartition("@")[0])
        )

    def _routed(self, local_part: str) -> bool:
        settings = self._settings
        return (
            (settings.resolve_dequoted_address and "@" in local_part)
            or (settings.allow_percent_hack and "%" in local_part)
            or (settings.swap_bangpath and "!" in local_part)
        )

    async def _innermost(self, address: str) -> str:
        """A local domain is cut off while the local part names another machine: user%site, site!user, user@site."""
        settings = self._settings
        for _ in range(STRIP_LIMIT):
            local_part, at, domain = address.rpartition("@")
            if not at or not domain:
                break
            inner = local_part.rpartition("@")
            hidden = settings.resolve_dequoted_address and bool(inner[1])
            percent = settings.allow_percent_hack and "%" in local_part
            bang = settings.swap_bangpath and "!" in local_part
            if not (hidden or percent or bang) or not await self._domains.is_local(domain):
                break
            if hidden and inner[2]:
                address = self._rewriter.address(local_part)
                continue
            new_local, new_domain = self._rewriter.parts(local_part, None)
            address = new_local if new_domain is None else f"{new_local}@{new_domain}"
        return address

    async def _by_class(
        self, address_class: AddressClass, sender: str, domain: str, evidence: list[Evidence]
    ) -> tuple[str, str]:
        settings = self._settings
        if address_class is AddressClass.VIRTUAL_ALIAS:
            return "error", self._unknown
        if address_class is AddressClass.LOCAL:
            parameter, value = "local_transport", settings.local_transport
        elif address_class is AddressClass.VIRTUAL_MAILBOX:
            parameter, value = "virtual_transport", settings.virtual_transport
        elif address_class is AddressClass.RELAY:
            parameter, value = "relay_transport", settings.relay_transport
        else:
            parameter, value = "default_transport", settings.default_transport
            if self._transports is not None:
                key = settings.empty_address_default_transport_maps_lookup_key
                own = await self._by_sender(self._transports, quote_address(sender) or key, evidence)
                if own is not None:
                    transport, _, nexthop = own.partition(":")
                    return transport.strip(), nexthop.strip() or await self._relay(sender, domain, evidence)
        evidence.append(self._why[parameter])
        transport, _, nexthop = value.partition(":")
        transport, nexthop = transport.strip(), nexthop.strip() or REASONS.get(transport.strip(), "")
        if not nexthop:
            off_host = address_class in (AddressClass.RELAY, AddressClass.DEFAULT)
            nexthop = await self._relay(sender, domain, evidence) if off_host else domain
        return transport, nexthop

    async def _relay(self, sender: str, domain: str, evidence: list[Evidence]) -> str:
        settings = self._settings
        if self._relayhosts is not None:
            key = settings.empty_address_relayhost_maps_lookup_key
            own = await self._by_sender(self._relayhosts, quote_address(sender) or key, evidence)
            if own is not None:
                return own
        if settings.relayhost:
            evidence.append(self._why["relayhost"])
            return settings.relayhost
        return domain

    async def _by_sender(self, maps: Maps, sender: str, evidence: list[Evidence]) -> str | None:
        if not sender:
            return None
        found = await maps.lookup_address(sender, self._settings.recipient_delimiter)
        if found is None or found[0].value.upper() == "DUNNO":
            return None
        row = found[0]
        origin = self._configuration.origin(maps.title)
        evidence.append(Evidence(maps.title, origin, fact=f"{row.table}: {row.key} -> {row.value}"))
        return row.value
