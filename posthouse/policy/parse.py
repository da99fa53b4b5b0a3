"""Restriction lists: words to restrictions, once, before serving.

A word is a restriction (perhaps with an argument), a class of smtpd_restriction_classes, a
table (an access table for what the list is about), or `{ … }`, a group. An unknown word
becomes a restriction that refuses with 451 and warns, as Postfix does; `warnings` tells the same when
the lists are read, for `postfix check`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.config.words import split_words
from posthouse.dns.resolver import Resolver
from posthouse.envelope.verdict import DUNNO, Evidence, Verdict
from posthouse.policy.access_action import AccessActions
from posthouse.policy.delegation import Open, PolicyService, opener, parse_server
from posthouse.policy.destinations import Destinations
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.mynetworks import Mynetworks
from posthouse.policy.restriction import Check, Restriction, evaluate
from posthouse.policy.restrictions.access import Access, guarded, subject_of
from posthouse.policy.restrictions.certificate import Certificates
from posthouse.policy.restrictions.destination import Destination
from posthouse.policy.restrictions.dnsbl import DnsLists, Filter, parse_site
from posthouse.policy.restrictions.login import SenderLogin
from posthouse.policy.restrictions.names import RECIPIENT, SENDER, Names
from posthouse.policy.restrictions.plain import Plain
from posthouse.policy.restrictions.verify import Prober, Verify
from posthouse.policy.settings import CertificateSettings, CheckSettings, DelegationSettings, VerifySettings
from posthouse.tables.maps import open_maps
from posthouse.tables.match_list import open_client_list
from posthouse.tables.open import open_table
from posthouse.tables.table import Table

NESTING_LIMIT = 50
"""Classes within classes; a class that names itself is a mistake."""

REPLACED = {
    "reject_unknown_client": "reject_unknown_client_hostname",
    "reject_unknown_hostname": "reject_unknown_helo_hostname",
    "reject_invalid_hostname": "reject_invalid_helo_hostname",
    "reject_non_fqdn_hostname": "reject_non_fqdn_helo_hostname",
}
"""Old names that still work."""

FINAL = frozenset({"permit", "reject", "defer"})
"""Words that always decide: what follows them never runs."""

MISSING = frozenset(
    {
        "check_relay_domains",
        "permit_mx_backup",
        "permit_naked_ip_address",
        "reject_maps_rbl",
        "reject_unverified_recipient",
        "reject_unverified_sender",
    }
)
"""Restrictions that this program does not have (reject_unverified_*: not without a prober). They refuse mail
rather than let it pass unchecked."""

_TABLES = ("client", "reverse_client_hostname", "helo", "sender", "recipient", "sasl", "etrn")
_SERVERS = ("client", "reverse_client_hostname", "helo", "sender", "recipient")


class ListParser:
    """Parses the lists of one service; tables and policy servers are shared between them."""

    def __init__(
        self,
        configuration: Configuration,
        resolver: Resolver,
        destinations: Destinations,
        warn: Callable[[str], None],
        *,
        classes: Sequence[str] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        open_stream: Open | None = None,
        prober: Prober | None = None,
    ) -> None:
        settings = read_settings(CheckSettings, configuration)
        self._configuration = configuration
        self._warn = warn
        self._sleep = sleep
        self._classes = frozenset(classes)
        self._parsed_classes: dict[str, tuple[Restriction, ...]] = {}
        self._depth = 0
        self._tables: dict[str, Table] = {}
        self._services: dict[str, PolicyService] = {}
        self._delegation = read_settings(DelegationSettings, configuration)
        self._open_stream = open_stream or opener(self._delegation)
        self._from_tables: dict[tuple[str, str], tuple[Restriction, ...]] = {}
        self.warnings: list[str] = []
        """What is wrong with the lists, in Postfix's words."""
        self.actions = AccessActions(settings, self._table_list, warn)
        """What rows of access tables do; `posthouse explain` asks it too."""
        self.destination = Destination(settings, destinations)
        self._access = Access(settings, resolver, self.actions, warn)
        login_maps = settings.smtpd_sender_login_maps
        login = SenderLogin(
            settings, open_maps(login_maps, configuration, "smtpd_sender_login_maps") if login_maps else None, warn
        )
        reply_maps = settings.rbl_reply_maps
        self._dns_lists = DnsLists(
            settings,
            resolver,
            self.destination,
            open_maps(reply_maps, configuration, "rbl_reply_maps") if reply_maps else None,
            warn,
        )
        self._plain = Plain(settings, sleep)
        names = Names(settings, resolver, destinations)
        networks = Mynetworks(open_client_list(settings.mynetworks, configuration, "mynetworks"))
        certificate_settings = read_settings(CertificateSettings, configuration)
        certs = certificate_settings.relay_clientcerts
        self._certificates = Certificates(
            certificate_settings,
            open_maps(certs, configuration, "relay_clientcerts") if certs else None,
            self.actions,
            warn,
        )
        self._words: dict[str, Check] = {
            "permit_tls_clientcerts": self._certificates.permit_tls_clientcerts,
            "permit_tls_all_clientcerts": self._certificates.permit_tls_all_clientcerts,
            "permit": self._plain.permit,
            "reject": self._plain.reject,
            "defer": self._plain.defer,
            "defer_if_permit": self._plain.defer_if_permit,
            "defer_if_reject": self._plain.defer_if_reject,
            "permit_mynetworks": networks.permit_mynetworks,
            "permit_sasl_authenticated": self._plain.permit_sasl_authenticated,
            "permit_inet_interfaces": self._plain.permit_inet_interfaces,
            "permit_auth_destination": self.destination.permit_auth_destination,
            "reject_unauth_destination": self.destination.reject_unauth_destination,
            "defer_unauth_destination": self.destination.defer_unauth_destination,
            "reject_unlisted_recipient": self.destination.reject_unlisted_recipient,
            "reject_unlisted_sender": self.destination.reject_unlisted_sender,
            "reject_unauth_pipelining": self._plain.reject_unauth_pipelining,
            "reject_multi_recipient_bounce": self._plain.reject_multi_recipient_bounce,
            "reject_plaintext_session": self._plain.reject_plaintext_session,
            "reject_invalid_helo_hostname": names.reject_invalid_helo_hostname,
            "reject_non_fqdn_helo_hostname": names.reject_non_fqdn_helo_hostname,
            "reject_unknown_helo_hostname": names.reject_unknown_helo_hostname,
            "reject_unknown_client_hostname": names.reject_unknown_client_hostname,
            "reject_unknown_reverse_client_hostname": names.reject_unknown_reverse_client_hostname,
            "reject_non_fqdn_sender": names.reject_non_fqdn_address(SENDER),
            "reject_non_fqdn_recipient": names.reject_non_fqdn_address(RECIPIENT),
            "reject_unknown_sender_domain": names.reject_unknown_domain(SENDER),
            "reject_unknown_recipient_domain": names.reject_unknown_domain(RECIPIENT),
            "reject_sender_login_mismatch": login.reject_sender_login_mismatch,
            "reject_authenticated_sender_login_mismatch": login.reject_authenticated_sender_login_mismatch,
            "reject_known_sender_login_mismatch": login.reject_known_sender_login_mismatch,
            "reject_unauthenticated_sender_login_mismatch": login.reject_unauthenticated_sender_login_mismatch,
        }
        if prober is not None:
            verify = Verify(read_settings(VerifySettings, configuration), prober)
            self._words["reject_unverified_sender"] = verify.reject_unverified_sender()
            self._words["reject_unverified_recipient"] = verify.reject_unverified_recipient()
        self._table_words = {
            f"check_{what}_access": getattr(self._access, name)
            for what, name in zip(
                _TABLES, ("client", "reverse_client", "helo", "sender", "recipient", "sasl", "etrn"), strict=True
            )
        }
        self._table_words["check_ccert_access"] = self._certificates.check_ccert_access
        self._server_words = {
            f"check_{what}_{rtype}_access": (what, rtype.upper()) for what in _SERVERS for rtype in ("a", "mx", "ns")
        }
        self._site_words: dict[str, Callable[[str, Filter | None], Check]] = {
            "reject_rbl_client": self._dns_lists.reject_rbl_client,
            "permit_dnswl_client": self._dns_lists.permit_dnswl_client,
            "permit_rhswl_client": self._dns_lists.permit_rhswl_client,
            "reject_rhsbl_client": lambda d, f: self._dns_lists.reject_rhsbl("client", d, f),
            "reject_rhsbl_reverse_client": lambda d, f: self._dns_lists.reject_rhsbl("reverse_client", d, f),
            "reject_rhsbl_helo": lambda d, f: self._dns_lists.reject_rhsbl("helo", d, f),
            "reject_rhsbl_sender": lambda d, f: self._dns_lists.reject_rhsbl("sender", d, f),
            "reject_rhsbl_recipient": lambda d, f: self._dns_lists.reject_rhsbl("recipient", d, f),
        }

    def parse(self, words: Sequence[str], parameter: str, about: str) -> tuple[Restriction, ...]:
        """The restrictions of a parameter. `about` (client, helo, sender, …): what a bare table is for."""
        origin = self._configuration.origin(parameter) if parameter else ""
        found: list[Restriction] = []
        queue = list(reversed(words))
        warn_only = False

        while queue:
            word = queue.pop()
            if word.startswith("{"):
                queue += reversed(split_words(word.strip()[1:-1]))
                continue
            if word.lower() == "warn_if_reject":
                warn_only = True
                continue
            name = REPLACED.get(word.lower(), word.lower())
            said = word
            check = self._words.get(name)
            if check is not None:
                pass
            elif name in self._table_words or name in self._server_words:
                spec = queue.pop() if queue else word
                said = f"{word} {spec}"
                check = self._table_check(name, spec)
            elif name in self._site_words:
                site = queue.pop() if queue else ""
                said = f"{word} {site}".rstrip()
                check = self._site_check(name, site)
            elif name == "check_policy_service":
                server = queue.pop() if queue else ""
                said = f"{word} {server}".rstrip()
                check = self._service_check(server)
            elif name == "sleep":
                seconds = queue.pop() if queue else ""
                said = f"{word} {seconds}".rstrip()
                if seconds.isascii() and seconds.isdigit():
                    check = self._plain.sleep(float(seconds))
                else:
                    check = self._broken("restriction sleep must be followed by number")
            elif word in self._classes:
                check = self._class_check(word, about)
            elif ":" in word and not word.startswith(":"):
                check = self._table_check(f"check_{about}_access", word)
            else:
                check = self._unknown(word, name)
                if name in MISSING and queue and (":" in queue[-1] or "." in queue[-1]):
                    queue.pop()  # its argument is no restriction of its own
            found.append(Restriction(Evidence(parameter, origin, said), check, warn_only))
            if name in FINAL and queue and not warn_only:
                tell = self.warnings.append if parameter else self._warn  # a table's words are told when they are met
                tell(f"restriction `{queue[-1]}' after `{word}' is ignored")
            warn_only = False
        return tuple(found)

    def close(self) -> None:
        """Give back tables and connections."""
        for service in self._services.values():
            service.close()
        for table in self._tables.values():
            table.close()

    def expanded(self, words: Sequence[str]) -> list[str]:
        """The words with the words of classes put in, for checks of the whole list."""
        found: list[str] = []
        for word in words:
            if (
                word in self._classes
                and self._configuration.is_set(word)
                and len(found) < 10_000
                and self._depth < NESTING_LIMIT
            ):
                self._depth += 1
                found += self.expanded(self._configuration.words(word))
                self._depth -= 1
            elif word.startswith("{"):
                found += self.expanded(split_words(word.strip()[1:-1]))
            else:
                found.append(word)
        return found

    def _table(self, spec: str) -> Table:
        table = self._tables.get(spec)
        if table is None:
            table = self._tables[spec] = open_table(spec, self._configuration)
        return table

    def _table_check(self, name: str, spec: str) -> Check:
        if ":" not in spec:
            return self._broken(f'restriction {name}: bad argument "{spec}": need maptype:mapname')
        table = self._table(spec)
        servers = self._server_words.get(name)
        if servers is not None:
            what, rtype = servers
            return guarded(self._access.servers(table, what, rtype, name), lambda facts: subject_of(facts, what))
        what = name.removeprefix("check_").removesuffix("_access")
        check: Check = self._table_words[name](table)
        return guarded(check, lambda facts: subject_of(facts, what))

    def _site_check(self, name: str, site: str) -> Check:
        if not site:  # as in Postfix: mail passes, with a warning each time
            return self._broken(f"restriction {name} requires domain name argument", refuse=False)
        try:
            domain, pattern = parse_site(site)
        except ValueError as error:
            raise ConfigError(f"restriction {name}: {error}") from error
        return self._site_words[name](domain, pattern)

    def _service_check(self, text: str) -> Check:
        if not text:
            return self._broken("restriction check_policy_service must be followed by transport:server")
        service = self._services.get(text)
        if service is None:
            server = parse_server(text, self._delegation)
            service = PolicyService(server, self.actions, self._warn, self._open_stream, sleep=self._sleep)
            self._services[text] = service
        return service.check_policy_service

    def _class_check(self, name: str, about: str) -> Check:
        if not self._configuration.is_set(name):
            raise ConfigError(f"restriction class `{name}' needs a definition")
        key = f"{name} {about}"
        if key not in self._parsed_classes:
            if self._depth >= NESTING_LIMIT:
                raise ConfigError(f"restriction class `{name}' contains itself")
            self._depth += 1
            self._parsed_classes[key] = self.parse(self._configuration.words(name), name, about)
            self._depth -= 1
        restrictions = self._parsed_classes[key]

        async def check(facts: Facts, subject: Subject) -> Verdict:
            return await evaluate(restrictions, facts, subject)

        return check

    def _unknown(self, word: str, name: str) -> Check:
        warning = f'unknown smtpd restriction: "{word}"'
        if name in MISSING:
            warning = f"restriction {word} is not supported: mail that it would judge is refused for now"
        return self._broken(warning)

    def _broken(self, warning: str, *, refuse: bool = True) -> Check:
        """What cannot be understood refuses mail rather than let it pass unchecked."""
        self.warnings.append(warning)

        async def check(facts: Facts, subject: Subject) -> Verdict:
            self._warn(warning)
            return facts.server_error(warning) if refuse else DUNNO

        return check

    def _table_in_table(self, value: str, table: str) -> Check:
        async def check(facts: Facts, subject: Subject) -> Verdict:
            self._warn(f"access table {table} has entry with lookup table: {value}")
            self._warn("do not specify lookup tables inside SMTPD access maps")
            self._warn("define a restriction class and specify its name instead.")
            return facts.server_error(value)

        return check

    def _table_list(self, value: str, table: str) -> Sequence[Restriction]:
        """A restriction list on the right side of an access table."""
        key = (value, table)
        found = self._from_tables.get(key)
        if found is None:
            words = split_words(value)
            if any(":" in word for word in words):
                found = (Restriction(Evidence(restriction=value), self._table_in_table(value, table)),)
            else:
                try:
                    found = self.parse(words, "", "recipient")
                except ConfigError as error:
                    self._warn(error.text)
                    found = (Restriction(Evidence(restriction=value), self._unknown(value, value)),)
            if len(self._from_tables) >= TABLE_LIST_LIMIT:
                self._from_tables.clear()
            self._from_tables[key] = found
        return found


TABLE_LIST_LIMIT = 1_000
"""Lists from access tables kept parsed."""
