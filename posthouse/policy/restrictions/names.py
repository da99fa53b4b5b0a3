"""Restrictions on names: HELO names, client names, and the domains of addresses.

Standards: RFC 5321 sections 2.3.5 and 4.1.4; RFC 7505 section 4.2 (null MX: 550 5.7.27 and 556 5.1.10).
"""

import asyncio

from posthouse.address.address import split_address
from posthouse.address.domain import is_hostname, is_ipv4, is_ipv6, literal_address
from posthouse.dns.ptr import NameStatus, client_name
from posthouse.dns.resolver import Answer, DnsRetry, Resolver
from posthouse.envelope.verdict import DUNNO, Verdict
from posthouse.policy.destinations import Destinations
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.restriction import Check
from posthouse.policy.settings import CheckSettings
from posthouse.routing.address_class import AddressClass

HELO, SENDER, RECIPIENT = "Helo command", "Sender address", "Recipient address"


class Names:
    """The checks; each is one restriction."""

    def __init__(self, settings: CheckSettings, resolver: Resolver, destinations: Destinations) -> None:
        self._settings = settings
        self._resolver = resolver
        self._destinations = destinations

    # -- client

    async def reject_unknown_client_hostname(self, facts: Facts, subject: Subject) -> Verdict:
        """A client whose name could not be verified."""
        if facts.client.name != "unknown":
            return DUNNO
        found = await client_name(facts.client.address, self._resolver)
        code = 450 if found.status is NameStatus.RETRY else self._settings.unknown_client_reject_code
        text = f"Client host rejected: cannot find your hostname, [{facts.client.address}]"
        return facts.refuse(code, "4.7.25", text, f"reverse name {found.reverse_name}, {found.status.value}")

    async def reject_unknown_reverse_client_hostname(self, facts: Facts, subject: Subject) -> Verdict:
        """A client whose address has no name."""
        if facts.client.reverse_name != "unknown":
            return DUNNO
        found = await client_name(facts.client.address, self._resolver)
        code = 450 if found.reverse_status is NameStatus.RETRY else self._settings.unknown_client_reject_code
        text = f"Client host rejected: cannot find your reverse hostname, [{facts.client.address}]"
        return facts.refuse(code, "4.7.1", text, f"PTR {found.reverse_status.value}")

    # -- HELO

    async def reject_invalid_helo_hostname(self, facts: Facts, subject: Subject) -> Verdict:
        """A HELO name that is neither a host name nor an address literal."""
        name = facts.helo
        if not name or is_hostname(name) or literal_address(name) or is_ipv4(name):
            return DUNNO
        code = self._settings.invalid_hostname_reject_code
        reason = "invalid ip address" if name.startswith("[") or not name.strip("0123456789.:") else "Invalid name"
        return facts.refuse(code, "5.5.2", f"<{name}>: {HELO} rejected: {reason}")

    async def reject_non_fqdn_helo_hostname(self, facts: Facts, subject: Subject) -> Verdict:
        """A HELO name without a dot."""
        name = facts.helo
        if not name or literal_address(name) or (is_hostname(name) and "." in name):
            return DUNNO
        code = self._settings.non_fqdn_reject_code
        return facts.refuse(code, "5.5.2", f"<{name}>: {HELO} rejected: need fully-qualified hostname")

    async def reject_unknown_helo_hostname(self, facts: Facts, subject: Subject) -> Verdict:
        """A HELO name without address and MX records."""
        name = facts.helo
        if not name or name.startswith("["):
            return DUNNO
        text = f"<{name}>: {HELO} rejected: Host not found"
        try:
            known = await self._exists(name)
        except DnsRetry as retry:
            if self._settings.unknown_helo_hostname_tempfail_action == "defer":
                return facts.refuse(450, "4.7.1", text, str(retry))
            return facts.defer_if_permit(450, "4.7.1", text, str(retry))
        if known:
            return DUNNO
        return facts.refuse(self._settings.unknown_hostname_reject_code, "4.7.1", text, f"{name}: no A, AAAA or MX")

    # -- addresses

    def reject_non_fqdn_address(self, reply_class: str) -> Check:
        """reject_non_fqdn_sender, reject_non_fqdn_recipient."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            address = facts.sender if reply_class == SENDER else facts.recipient
            if not address or (reply_class == RECIPIENT and address.lower() == "postmaster"):
                return DUNNO
            domain = split_address(address)[1]
            if literal_address(domain) or (is_hostname(domain) and "." in domain):
                return DUNNO
            text = f"<{address}>: {reply_class} rejected: need fully-qualified address"
            return facts.refuse(self._settings.non_fqdn_reject_code, "4.5.2", text)

        return check

    def reject_unknown_domain(self, reply_class: str) -> Check:
        """reject_unknown_sender_domain, reject_unknown_recipient_domain."""
        status = "4.1.8" if reply_class == SENDER else "4.1.2"

        async def check(facts: Facts, subject: Subject) -> Verdict:
            address = facts.sender if reply_class == SENDER else facts.recipient
            if not address or "@" not in address:
                return DUNNO
            resolution = await self._destinations.resolve("", address)
            if resolution.address_class is not AddressClass.DEFAULT:
                return DUNNO
            domain = split_address(resolution.recipient)[1]
            if domain.startswith("["):
                return DUNNO
            text = f"<{address}>: {reply_class} rejected: Domain not found"
            try:
                mx = await self._resolver.query(domain, "MX")
                if mx.records and not any(record.data for record in mx.records):
                    null = f"<{address}>: {reply_class} rejected: Domain {domain} does not accept mail (nullMX)"
                    code, null_status = (550, "5.7.27") if reply_class == SENDER else (556, "5.1.10")
                    return facts.refuse(code, null_status, null, f"{domain}: null MX")
                if mx.records or await self._exists(domain):
                    return DUNNO
            except DnsRetry as retry:
                if self._settings.unknown_address_tempfail_action == "defer":
                    return facts.refuse(450, status, text, str(retry))
                return facts.defer_if_permit(450, status, text, str(retry))
            code = self._settings.unknown_address_reject_code
            return facts.refuse(code, status, text, f"{domain}: no A, AAAA or MX")

        return check

    async def _exists(self, name: str) -> bool:
        """Whether a name has MX or address records. Raises DnsRetry when none is known and one could not be asked."""
        if is_ipv4(name) or is_ipv6(name):
            return True
        answers = await asyncio.gather(*(self._ask(name, rtype) for rtype in ("A", "AAAA", "MX")))
        if any(isinstance(answer, Answer) and answer.records for answer in answers):
            return True
        for answer in answers:
            if isinstance(answer, DnsRetry):
                raise answer
        return False

    async def _ask(self, name: str, rtype: str) -> Answer | DnsRetry:
        try:
            return await self._resolver.query(name, rtype)
        except DnsRetry as retry:
            return retry
