"""DNS lists: reject_rbl_client, reject_rhsbl_*, permit_dnswl_client, permit_rhswl_client.

    site        = domain ["=" filter]
    filter      = part 3("." part)
    part        = number / "[" (number / number ".." number) *(";" …) "]"

An entry is an address record under the site that passes the filter; the reply is
default_rbl_reply or the site's row in rbl_reply_maps, with the entry's TXT as $rbl_reason.

Standards: RFC 5782 (DNS blacklists and whitelists).
"""

import re
from collections.abc import Callable
from ipaddress import ip_address

from posthouse.address.address import split_address
from posthouse.config.expand import MacroError, expand
from posthouse.dns.resolver import DnsRetry, Resolver
from posthouse.envelope.verdict import DUNNO, Verdict
from posthouse.policy.access_action import split_status
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.restriction import Check
from posthouse.policy.restrictions.destination import Destination
from posthouse.policy.settings import CheckSettings
from posthouse.tables.maps import Maps

REASON_LIMIT = 511
"""Characters of a TXT record that go into a reply, as Postfix cuts them."""

Filter = tuple[frozenset[int], frozenset[int], frozenset[int], frozenset[int]]


def parse_site(text: str) -> tuple[str, Filter | None]:
    """The domain and its filter. Raises ValueError with the reason."""
    domain, equals, pattern = text.partition("=")
    if not domain:
        raise ValueError(f'no domain in "{text}"')
    return domain.rstrip("."), parse_filter(pattern) if equals else None


def parse_filter(pattern: str) -> Filter:
    """Four sets of octets. Raises ValueError."""
    parts = re.split(r"\.(?![^\[]*\])", pattern)
    if len(parts) != 4:
        raise ValueError(f'bad address filter "{pattern}"')
    first, second, third, fourth = (_octets(part, pattern) for part in parts)
    return first, second, third, fourth


def _octets(part: str, pattern: str) -> frozenset[int]:
    pieces = part[1:-1].split(";") if part.startswith("[") and part.endswith("]") else [part]
    found: set[int] = set()
    for piece in pieces:
        low, dots, high = piece.partition("..")
        numbers = [low, high] if dots else [low]
        if not all(n.isascii() and n.isdigit() and int(n) < 256 for n in numbers) or int(numbers[0]) > int(numbers[-1]):
            raise ValueError(f'bad address filter "{pattern}"')
        found.update(range(int(numbers[0]), int(numbers[-1]) + 1))
    return frozenset(found)


def passes(address: str, pattern: Filter | None) -> bool:
    """Whether an answer counts."""
    if pattern is None:
        return True
    octets = address.split(".")
    return len(octets) == 4 and all(int(octet) in part for octet, part in zip(octets, pattern, strict=True))


class DnsLists:
    """Makes the checks; each asks one site."""

    def __init__(
        self,
        settings: CheckSettings,
        resolver: Resolver,
        destination: Destination,
        reply_maps: Maps | None,
        warn: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._destination = destination
        self._reply_maps = reply_maps
        self._warn = warn

    def reject_rbl_client(self, domain: str, pattern: Filter | None) -> Check:
        """The client's address is listed."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            found = await self._listed(_reversed(facts.client.address), domain, pattern)
            if not found:
                return DUNNO
            about = Subject(facts.namaddr, "Client host")
            return await self._refuse(
                facts, about, facts.client.address, domain, _reversed(facts.client.address), found
            )

        return check

    def reject_rhsbl(self, what: str, domain: str, pattern: Filter | None) -> Check:
        """A domain of the client, HELO, sender or recipient is listed."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            name, reply_class, full = _domain(facts, what)
            if not name or name == "unknown" or name.startswith("["):
                return DUNNO
            found = await self._listed(name, domain, pattern)
            if not found:
                return DUNNO
            return await self._refuse(facts, Subject(full, reply_class), name, domain, name, found)

        return check

    def permit_dnswl_client(self, domain: str, pattern: Filter | None) -> Check:
        """The client's address is on a list of the good."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            return await self._permit(facts, _reversed(facts.client.address), domain, pattern)

        return check

    def permit_rhswl_client(self, domain: str, pattern: Filter | None) -> Check:
        """The client's name is on a list of the good."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            if facts.client.name == "unknown":
                return DUNNO
            return await self._permit(facts, facts.client.name, domain, pattern)

        return check

    async def _permit(self, facts: Facts, label: str, domain: str, pattern: Filter | None) -> Verdict:
        # Never past relay control: somebody else keeps the list.
        if facts.recipient is not None and await self._destination.authorized(facts.recipient) is None:
            return DUNNO
        try:
            answer = await self._resolver.query(f"{label}.{domain}", "A")
        except DnsRetry as retry:
            self._warn(f"{label}.{domain}: RBL lookup error: {retry}")
            text = f"<{facts.namaddr}>: Client host rejected: Service unavailable"
            return facts.defer_if_reject(450, "4.7.1", text, str(retry))
        found = [record.data for record in answer.records if passes(record.data, pattern)]
        return facts.permit(f"{label}.{domain}: {', '.join(found)}") if found else DUNNO

    async def _listed(self, label: str, domain: str, pattern: Filter | None) -> list[str]:
        query = f"{label}.{domain}"
        try:
            answer = await self._resolver.query(query, "A")
        except DnsRetry as retry:
            self._warn(f"{query}: RBL lookup error: {retry}")
            return []
        return [record.data for record in answer.records if passes(record.data, pattern)]

    async def _refuse(
        self, facts: Facts, subject: Subject, what: str, domain: str, label: str, found: list[str]
    ) -> Verdict:
        template = self._settings.default_rbl_reply
        if self._reply_maps is not None:
            row = await self._reply_maps.lookup(domain)
            if row is not None:
                template = row.value
        query = f"{label}.{domain}"
        try:
            answer = await self._resolver.query(query, "TXT")
            reason = answer.records[0].data[:REASON_LIMIT] if answer.records else ""
        except DnsRetry as retry:
            self._warn(f"{query}: TXT lookup error: {retry}")
            reason = ""
        values = {
            "rbl_code": str(self._settings.maps_rbl_reject_code),
            "rbl_class": subject.reply_class,
            "rbl_what": what,
            "rbl_domain": domain,
            "rbl_reason": reason,
            "client": facts.namaddr,
            "client_address": facts.client.address,
            "client_name": facts.client.name,
            "reverse_client_name": facts.client.reverse_name,
            "helo_name": facts.helo,
            "sender": facts.sender or "<>",
            "sender_domain": split_address(facts.sender or "")[1],
            "sender_name": split_address(facts.sender or "")[0],
            "recipient": facts.recipient or "",
            "recipient_domain": split_address(facts.recipient or "")[1],
            "recipient_name": split_address(facts.recipient or "")[0],
        }
        try:
            text = expand(template, values.get, recurse=False)
        except MacroError as error:
            self._warn(f"{domain}: bad default rbl reply template: {template}: {error}")
            text = f"{values['rbl_code']} Service unavailable"
        code, _, text = text.partition(" ")
        if not (len(code) == 3 and code.isascii() and code.isdigit() and code[0] in "45"):
            self._warn(f"rbl response code configuration error: {code}")
            code, text = "450", "Service unavailable"
        status, text = split_status(text.strip(), f"{code[0]}.7.1")
        printable = "".join(c if c.isprintable() else "?" for c in text)
        return facts.refuse(int(code), status, printable, f"{query}: {', '.join(found)}")


def _reversed(address: str) -> str:
    """RFC 5782 sections 2.1 and 2.4: octets or nibbles backwards."""
    return ip_address(address.partition("%")[0]).reverse_pointer.rsplit(".", 2)[0]


def _domain(facts: Facts, what: str) -> tuple[str, str, str]:
    """(domain, reply class, name for replies)."""
    if what == "client":
        return facts.client.name, "Client host", facts.namaddr
    if what == "reverse_client":
        return facts.client.reverse_name, "Unverified Client host", facts.namaddr
    if what == "helo":
        return facts.helo, "Helo command", facts.helo
    address = (facts.sender if what == "sender" else facts.recipient) or ""
    return split_address(address)[1], "Sender address" if what == "sender" else "Recipient address", address
