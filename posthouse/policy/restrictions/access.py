"""check_*_access: access(5) tables, asked for names, addresses, and the servers of a domain.

A row that permits by the servers of a domain (check_*_a/mx/ns_access) does not count: whoever
owns a domain chooses its records (Postfix: use DUNNO for exceptions).
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from ipaddress import ip_address

from posthouse.address.address import split_address
from posthouse.address.domain import literal_address, parents
from posthouse.dns.resolver import DnsRetry, Resolver
from posthouse.envelope.verdict import DUNNO, Action, Verdict
from posthouse.policy.access_action import AccessActions
from posthouse.policy.access_keys import address_keys, domain_keys, mail_keys
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.restriction import Check
from posthouse.policy.settings import CheckSettings
from posthouse.tables.table import Row, Table, TableRetry

SERVER_LIMIT = 100
"""Servers of one domain looked up, and addresses compared for each: who owns the domain chooses their number."""


def guarded(check: Check, subject_of: Callable[[Facts], Subject]) -> Check:
    """A check whose table cannot be asked: Postfix calls that a server configuration error."""

    async def guard(facts: Facts, subject: Subject) -> Verdict:
        try:
            return await check(facts, subject)
        except TableRetry as retry:
            about = subject_of(facts)
            text = f"<{about.name}>: {about.reply_class} rejected: Server configuration error"
            return facts.refuse(451, "4.3.5", text, str(retry))

    return guard


class Access:
    """Makes the checks; each asks one table."""

    def __init__(
        self, settings: CheckSettings, resolver: Resolver, actions: AccessActions, warn: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._actions = actions
        self._warn = warn
        self._parents = "smtpd_access_maps" in settings.parent_domain_matches_subdomains

    def client(self, table: Table) -> Check:
        """check_client_access."""
        return self._host(table, lambda facts: facts.client.name, "Client host")

    def reverse_client(self, table: Table) -> Check:
        """check_reverse_client_hostname_access."""
        return self._host(table, lambda facts: facts.client.reverse_name, "Unverified Client host")

    def _host(self, table: Table, name_of: Callable[[Facts], str], reply_class: str) -> Check:
        async def check(facts: Facts, subject: Subject) -> Verdict:
            name, address = name_of(facts), facts.client.address
            row = await self._first(table, name, domain_keys(name, parents_match=self._parents))
            if row is None:
                row = await self._first(table, address, address_keys(address))
            return await self._act(row, table, facts, Subject(f"{name}[{address}]", reply_class))

        return check

    def helo(self, table: Table) -> Check:
        """check_helo_access."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            if not facts.helo:
                return DUNNO
            keys = domain_keys(facts.helo, parents_match=self._parents)
            row = await self._first(table, facts.helo, keys)
            return await self._act(row, table, facts, Subject(facts.helo, "Helo command"))

        return check

    def sender(self, table: Table) -> Check:
        """check_sender_access."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            if facts.sender is None:
                return DUNNO
            return await self._mail(table, facts, facts.sender, "Sender address")

        return check

    def recipient(self, table: Table) -> Check:
        """check_recipient_access."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            if facts.recipient is None:
                return DUNNO
            return await self._mail(table, facts, facts.recipient, "Recipient address")

        return check

    def sasl(self, table: Table) -> Check:
        """check_sasl_access."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            if not facts.login:
                return DUNNO
            row = await self._first(table, facts.login, (facts.login.lower(),))
            return await self._act(row, table, facts, Subject(facts.login, "SASL login name"))

        return check

    def etrn(self, table: Table) -> Check:
        """check_etrn_access."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            if not facts.etrn_domain:
                return DUNNO
            keys = domain_keys(facts.etrn_domain, parents_match=self._parents)
            row = await self._first(table, facts.etrn_domain, keys)
            return await self._act(row, table, facts, Subject(facts.etrn_domain, "Etrn command"))

        return check

    def servers(self, table: Table, what: str, rtype: str, word: str) -> Check:
        """check_{client,reverse_client_hostname,helo,sender,recipient}_{a,mx,ns}_access; rtype A, MX or NS."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            name, domain, reply_class = _object(facts, what)
            if not domain or domain == "unknown":
                return DUNNO
            about = Subject(name, reply_class)
            literal = literal_address(domain)
            if literal is not None:
                if rtype == "NS":
                    return DUNNO
                row = await self._first(table, literal, address_keys(literal))
                return await self._servers_act(row, table, facts, about, word)
            try:
                async for host in self._hosts(domain, rtype):
                    row = await self._first(table, host, domain_keys(host, parents_match=self._parents))
                    if row is None:
                        addresses = await self._addresses(host)
                        if not addresses:
                            self._warn(
                                f"Unable to look up {rtype} host {host} for {reply_class} {name}: "
                                "Name or service not known"
                            )
                        row = await self._by_addresses(table, addresses)
                    verdict = await self._servers_act(row, table, facts, about, word)
                    if verdict is not DUNNO:
                        return verdict
            except DnsRetry as retry:
                text = f"<{name}>: {reply_class} rejected: Unable to look up mail exchanger information: {retry}"
                if rtype != "MX":
                    text = f"<{name}>: {reply_class} rejected: Unable to look up host {domain}: {retry}"
                return facts.defer_if_permit(450, "4.1.8", text, str(retry))
            return DUNNO

        return check

    async def _hosts(self, domain: str, rtype: str) -> AsyncIterator[str]:
        """The servers of a domain; without MX records the domain itself, without NS records the parents'."""
        if rtype == "A":
            yield domain
            return
        answer = await self._resolver.query(domain, rtype)
        if rtype == "NS":
            for parent in parents(domain):
                if answer.records or "." not in parent:
                    break
                answer = await self._resolver.query(parent, rtype)
        names = [record.data for record in answer.records if record.data][:SERVER_LIMIT]
        if not names and rtype == "MX" and not answer.records:
            names = [domain]
        for name in names:
            yield name

    async def _addresses(self, host: str) -> list[str]:
        """The addresses of a host. Raises DnsRetry."""
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        found: list[str] = []
        for rtype in ("A", "AAAA"):
            answer = await self._resolver.query(host, rtype)
            found += [record.data for record in answer.records][:SERVER_LIMIT]
        return found

    async def _by_addresses(self, table: Table, addresses: list[str]) -> Row | None:
        for address in addresses:
            row = await self._first(table, address, address_keys(address))
            if row is not None:
                return row
        return None

    async def _mail(self, table: Table, facts: Facts, address: str, reply_class: str) -> Verdict:
        subject = Subject(address, reply_class)
        if not address:
            row = await self._lookup(table, self._settings.smtpd_null_access_lookup_key)
        else:
            keys = mail_keys(address, self._settings.recipient_delimiter, parents_match=self._parents)
            row = await self._first(table, address, keys)
        return await self._act(row, table, facts, subject)

    async def _first(self, table: Table, whole: str, keys: Iterator[str] | Iterable[str]) -> Row | None:
        if table.whole_key:
            return await self._lookup(table, whole)
        for key in keys:
            row = await self._lookup(table, key)
            if row is not None:
                return row
        return None

    async def _lookup(self, table: Table, key: str) -> Row | None:
        try:
            return await table.lookup(key)
        except TableRetry:
            self._warn(f'{table.name} lookup error for "{key}"')
            raise

    async def _servers_act(self, row: Row | None, table: Table, facts: Facts, subject: Subject, word: str) -> Verdict:
        verdict = await self._act(row, table, facts, subject)
        if verdict.action is Action.PERMIT:
            self._warn(f"restriction {word} returns OK for {subject.name}")
            self._warn("this is not allowed for security reasons")
            self._warn("use DUNNO instead of OK if you want to make an exception")
            return DUNNO
        return verdict

    async def _act(self, row: Row | None, table: Table, facts: Facts, subject: Subject) -> Verdict:
        if row is None:
            return DUNNO
        fact = f"{row.table}{f', line {row.line}' if row.line else ''}: {row.key} -> {row.value}"
        return await self._actions.act(row.value, table.name, row.key, facts, subject, fact=fact)


def subject_of(facts: Facts, what: str) -> Subject:
    """What a check is about, as replies name it."""
    if what == "sasl":
        return Subject(facts.login, "SASL login name")
    if what == "etrn":
        return Subject(facts.etrn_domain, "Etrn command")
    if what == "ccert":
        return Subject(facts.namaddr, "Client certificate")
    name, _, reply_class = _object(facts, what)
    return Subject(name, reply_class)


def _object(facts: Facts, what: str) -> tuple[str, str, str]:
    """(name for replies, domain to look up, reply class)."""
    if what == "client":
        return facts.namaddr, facts.client.name, "Client host"
    if what == "reverse_client_hostname":
        name = facts.client.reverse_name
        return f"{name}[{facts.client.address}]", name, "Unverified Client host"
    if what == "helo":
        return facts.helo, facts.helo, "Helo command"
    if what == "sender":
        return facts.sender or "", split_address(facts.sender or "")[1], "Sender address"
    return facts.recipient or "", split_address(facts.recipient or "")[1], "Recipient address"
