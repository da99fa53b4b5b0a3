"""A connection under given restrictions, with a DNS zone and destinations in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from posthouse.address.address import split_address
from posthouse.config.configuration import Configuration
from posthouse.dns.resolver import Answer, DnsRetry, Record
from posthouse.envelope.envelope import Client
from posthouse.envelope.verdict import Action, Verdict
from posthouse.policy.stages import Stages, StageSession
from posthouse.routing.address_class import AddressClass
from posthouse.routing.recipients import Unlisted
from posthouse.routing.resolve import Resolution
from posthouse.tables.table import TableRetry

CLASSES = {
    "example.com": AddressClass.LOCAL,
    "v.example.com": AddressClass.VIRTUAL_MAILBOX,
    "relay.example": AddressClass.RELAY,
}

ZONE: dict[tuple[str, str], list[str]] = {
    ("good.example", "MX"): ["10 mail.good.example"],
    ("mail.good.example", "A"): ["192.0.2.25"],
    ("null.example", "MX"): ["0 "],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["liar.example"],
    ("9.2.0.192.bl.example", "A"): ["127.0.0.2"],
    ("9.2.0.192.bl.example", "TXT"): ["listed for a test"],
    ("9.2.0.192.wl.example", "A"): ["127.0.0.10"],
    ("good.example.rhs.example", "A"): ["127.0.1.2"],
    ("good.example", "NS"): ["ns.evil.example"],
    ("ns.evil.example", "A"): ["198.51.100.53"],
}


class Zone:
    """A resolver that knows ZONE; names that begin with "retry" cannot be asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def query(self, name: str, rtype: str) -> Answer:
        self.asked += 1
        if name.startswith("retry"):
            raise DnsRetry(f"name={name} type={rtype}: try again")
        records = []
        for data in ZONE.get((name, rtype), []):
            preference, _, host = data.rpartition(" ") if rtype == "MX" else ("0", "", data)
            records.append(Record(name, rtype, 60, host, int(preference)))
        return Answer(tuple(records), nxdomain=not any(key[0] == name for key in ZONE))


class Destinations:
    """Knows CLASSES; nosuch@ does not exist, retry@ cannot be asked."""

    async def resolve(self, sender: str, address: str) -> Resolution:
        domain = split_address(address)[1] or "example.com"
        address_class = CLASSES.get(domain, AddressClass.DEFAULT)
        return Resolution("x", domain, address, address_class, ())

    async def unlisted(self, address: str) -> Unlisted | None:
        local_part, domain = split_address(address)
        if local_part == "retry":
            raise TableRetry("hash:/x: unavailable")
        if local_part == "nosuch" and domain in CLASSES:
            return Unlisted(550, "5.1.1", "User unknown in local recipient table", ())
        return None


@dataclass
class House:
    """One connection and what was logged for it."""

    session: StageSession
    stages: Stages
    zone: Zone
    log: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    async def send(self, sender: str = "a@good.example", recipient: str = "joe@example.com") -> str:
        """HELO, MAIL and RCPT; the first refusal, or "ok"."""
        for verdict in (
            await self.session.connect(),
            await self.session.helo(self.session.facts.helo or "client.good.example", True),
            await self.session.mail(sender),
        ):
            if said(verdict) != "ok":
                return said(verdict)
        return said(await self.session.rcpt(recipient))


def said(verdict: Verdict) -> str:
    """The reply of a verdict, or "ok"."""
    if verdict.action in (Action.REJECT, Action.DEFER):
        assert verdict.evidence, "a refusal without evidence"
        assert (verdict.code >= 500) == (verdict.action is Action.REJECT)
        assert str(verdict.code)[0] == verdict.status[0] or "Domain" in verdict.text
        return f"{verdict.code} {verdict.status} {verdict.text}"
    return "ok"


MakeHouse = Callable[..., House]


@pytest.fixture
def house() -> MakeHouse:
    def make(
        client: str = "192.0.2.9",
        name: str = "unknown",
        *,
        open_stream: Any = None,
        sleep: Any = None,
        prober: Any = None,
        **settings: str,
    ) -> House:
        values = {
            "compatibility_level": "3.6",
            "myhostname": "mail.example.com",
            "mydomain": "example.com",
            "mynetworks": "127.0.0.0/8",
            "mydestination": "example.com",
            **settings,
        }
        configuration = Configuration("/nonexistent", values, dict.fromkeys(settings, "main.cf:7"))
        log: list[tuple[str, str, str]] = []
        warnings: list[str] = []
        zone = Zone()
        options = {} if sleep is None else {"sleep": sleep}
        stages = Stages.open(
            configuration, zone, Destinations(), warn=warnings.append, open_stream=open_stream, prober=prober, **options
        )
        session = stages.begin(Client(name, client, "4711", name), "192.0.2.1", 25, log=lambda *line: log.append(line))
        return House(session, stages, zone, log, warnings)

    return make
