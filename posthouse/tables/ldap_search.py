"""What a search in a directory gives: values of entries, and of the entries that those name.

Nesting is bounded by recursion_limit, the number of values by expansion_limit; beyond either the lookup fails, as when
a nested search does. An entry that is named and not there is passed over, with a warning.

Standards: ldap_table(5), "special_result_attribute"; RFC 4511 section 4.5.2; RFC 4516 section 2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from posthouse.tables import openldap
from posthouse.tables.fold import key_text
from posthouse.tables.ldap_settings import LdapSettings
from posthouse.tables.openldap import Entry, LdapConnection, LdapFailure
from posthouse.tables.servers import ServerLost, ServerRefused
from posthouse.tables.template import Templates

EVERYTHING = "objectclass=*"
"""The filter for an entry whose name is known."""
Walk = Iterator[Any]
"""Through entries, giving a walk of the same kind for those that a special attribute names."""
BASE = openldap.SCOPES["base"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The joined values, None when there are none, or that the lookup failed."""

    value: str | None
    failed: bool = False


class _Failed(Exception):
    """A warning says why."""


class LdapSearch:
    """One lookup. It runs in a thread, so its warnings wait until it is over."""

    def __init__(self, settings: LdapSettings, templates: Templates, key: str) -> None:
        self.warnings: list[str] = []
        self._settings = settings
        self._templates = templates
        self._key = key
        self._values: list[str] = []
        self._last_code = 0

    def run(self, connection: LdapConnection, base: str, query: str) -> Answer:
        """Raises ServerLost and ServerRefused with whole warnings."""
        settings = self._settings
        self.warnings.clear()
        self._values.clear()
        self._last_code = 0
        try:
            entries = connection.search(base, settings.scope, query, settings.attributes, settings.size_limit)
        except LdapFailure as error:
            if error.code == openldap.NO_SUCH_OBJECT:
                # A base that depends on the key is missing as the key is.
                if self._templates.dynamic[0]:
                    return Answer(None)
                self.warnings.append(
                    f"dict_ldap_lookup: {settings.source}: Search base '{base}' not found: {error.code}: {error.words}"
                )
                return Answer(None, failed=True)
            text = f"dict_ldap_lookup: Search error {error.code}: {error.words} "
            if error.code == openldap.SERVER_DOWN:
                raise ServerLost(text) from error
            raise ServerRefused(text) from error
        try:
            # A walk gives the walks that must be done before it goes on: as calls, 1000 levels would be too deep.
            walks = [self._walk(connection, entries, 1)]
            while walks:
                inner = next(walks[-1], None)
                if inner is None:
                    walks.pop()
                else:
                    walks.append(inner)
        except _Failed:
            return Answer(None, failed=True)
        if self._last_code:
            words = openldap.words(self._last_code)
            self.warnings.append(f"dict_ldap_lookup: Had some trouble with entries returned by search: {words}")
        return Answer(",".join(self._values) or None)

    def _walk(self, connection: LdapConnection, entries: Sequence[Entry], depth: int) -> "Iterator[Walk]":
        settings = self._settings
        for number, entry in enumerate(entries, 1):
            if 0 < settings.size_limit < number:
                self._fail(f"[{depth}]: {settings.source}: Query size limit ({settings.size_limit}) exceeded")
            terminal = any(_has(entry, name) for name in settings.terminal)
            leaf = terminal or not any(_has(entry, name) for name in settings.special)
            for name, values in entry:
                if not values:
                    continue
                kind = self._kind(name)
                if terminal:
                    if kind == "terminal":
                        self._add(values, depth)
                elif kind == "special":
                    yield from self._follow(connection, name, values, depth)
                elif kind == "ordinary" or (leaf and kind in ("terminal", "leaf")):
                    self._add(values, depth)

    def _kind(self, name: str) -> str:
        """Which list of attributes has this one first."""
        settings = self._settings
        for kind, names in (
            ("terminal", settings.terminal),
            ("leaf", settings.leaf),
            ("ordinary", settings.ordinary),
            ("special", settings.special),
        ):
            if any(subtype(listed, name) > 0 for listed in names):
                return kind
        return ""

    def _add(self, values: Sequence[bytes], depth: int) -> None:
        limit = self._settings.expansion_limit
        for data in values:
            value = self._templates.result(key_text(data.partition(b"\0")[0]), self._key)
            if value is None:
                continue
            self._values.append(value)
            if 0 < limit < len(self._values):
                self._fail(f"[{depth}]: {self._settings.source}: Expansion limit exceeded for key: '{self._key}'")

    def _follow(self, connection: LdapConnection, name: str, values: Sequence[bytes], depth: int) -> "Iterator[Walk]":
        settings = self._settings
        if depth >= settings.recursion_limit:
            first = key_text(values[0])
            self._fail(f"[{depth}]: {settings.source}: Recursion limit exceeded for special attribute {name}={first}")
        for data in values:
            text = key_text(data)
            base, scope, query, attributes = text, BASE, EVERYTHING, settings.attributes
            if openldap.is_url(text):
                try:
                    url = openldap.parse_url(text)
                except LdapFailure as error:
                    self._fail(f"[{depth}]: malformed URL {text}: {error.words}({error.code})")
                base, scope, query = url.dn, max(url.scope, BASE), url.filter or EVERYTHING
                if url.attributes:
                    attributes = pertinent(url.attributes, settings.attributes)
                    if not attributes:
                        continue
            try:
                entries = connection.search(base, scope, query, attributes, settings.size_limit)
                self._last_code = 0
            except LdapFailure as error:
                self._last_code = error.code
                if error.code == openldap.NO_SUCH_OBJECT:
                    self.warnings.append(f"dict_ldap_get_values[{depth}]: DN {text} not found, skipping ")
                    continue
                self._fail(f"[{depth}]: search error {error.code}: {error.words} ")
            yield self._walk(connection, entries, depth + 1)

    def _fail(self, text: str) -> NoReturn:
        self.warnings.append(f"dict_ldap_get_values{text}")
        raise _Failed


def _has(entry: Entry, name: str) -> bool:
    return any(values and attribute.lower() == name.lower() for attribute, values in entry)


def pertinent(listed: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The attributes of a URL that are also result attributes; of two that differ in options, the one with more."""
    found: list[str] = []
    for one in listed:
        for other in wanted:
            relation = subtype(one, other)
            if relation:
                found.append(other if relation > 0 else one)
    return tuple(found)


def subtype(one: str, other: str) -> int:
    """1 when the second attribute description is the first or has options on top, -1 the other way round, else 0.

    RFC 4512 section 2.5: names in any case, options after semicolons.
    """
    one, other = one.lower(), other.lower()
    if one == other or other.startswith(f"{one};"):
        return 1
    return -1 if one.startswith(f"{other};") else 0
