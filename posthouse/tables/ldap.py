r"""ldap: tables, entries of a directory.

A key makes a search base and a filter; values of the result attributes of all entries found, through result_format, are
the result, joined with commas. Attributes are of four kinds:

    terminal_result_attribute   when an entry has one, nothing else of it counts
    leaf_result_attribute       counts only in entries without special attributes
    result_attribute            always counts
    special_result_attribute    holds names or URLs of further entries, which are looked up in turn

Keys are quoted for filters by RFC 4515 section 3 and for names by RFC 4514 section 2.4, more of them than those ask.
A search base that is not there is a fault, unless it depends on the key.

The library (OpenLDAP's) blocks, so it runs in threads.

Missing: bind = sasl with its sasl_ parameters; it is refused.

Standards: ldap_table(5); RFC 4511, RFC 4514, RFC 4515, RFC 4516.
"""

import re
from collections.abc import Callable

from posthouse.tables import openldap
from posthouse.tables.client_keys import ClientKeys
from posthouse.tables.client_parameters import ClientParameters
from posthouse.tables.ldap_search import Answer, LdapSearch
from posthouse.tables.ldap_settings import LdapSettings, read_ldap_settings
from posthouse.tables.openldap import LdapConnection, LdapFailure
from posthouse.tables.servers import Host, ServerRefused, Servers
from posthouse.tables.table import Row, Table, TableError, TableRetry
from posthouse.tables.template import Templates
from posthouse.tables.threads import in_thread
from posthouse.tables.warning import warn

# RFC 4515 section 3: * ( ) \ and NUL; RFC 4514 section 2.4: " + , ; < > \ and # or blanks at the ends.
_IN_FILTER = re.compile(r"[*()\\]")
_IN_NAME = re.compile(r'[ \t"#+,;<>\\]')


def quote_filter(text: str) -> str:
    """A key inside of a filter."""
    return _IN_FILTER.sub(lambda match: f"\\{ord(match[0]):02X}", text)


def quote_name(text: str) -> str:
    """A key inside of a distinguished name."""
    return _IN_NAME.sub(lambda match: f"\\{ord(match[0]):02X}", text)


class LdapTable:
    """A search, and the servers that it is asked of."""

    def __init__(
        self,
        name: str,
        settings: LdapSettings,
        open_member: Callable[[str], Table],
        *,
        fold: bool = True,
        unicode: bool = True,
    ) -> None:
        """Raises TableError."""
        self.name = name
        self.whole_key = False
        self.takes_empty_key = True
        self._settings = settings
        self._templates = Templates(
            name, settings.source, [settings.search_base, settings.query_filter], settings.result_format
        )
        if not self._templates.dynamic[1]:
            warn(f"dict_ldap_open: {settings.source}: Fixed query_filter {settings.query_filter} is probably useless")
        self._keys = ClientKeys(settings.domain, open_member, fold=fold, unicode=unicode)
        self._servers: Servers[LdapConnection] = Servers(
            [Host(settings.urls, settings.urls)],
            self._connect,
            LdapConnection.close,
            warn,
            complain=lambda host, text: text,
            retry=0,
        )

    async def lookup(self, key: str) -> Row | None:
        """The joined values of the result attributes, or None."""
        asked = await self._keys.admit(key)
        base = None if asked is None else self._templates.query(asked, quote_name, 0)
        query = None if asked is None or base is None else self._templates.query(asked, quote_filter, 1)
        if asked is None or base is None or query is None:
            return None
        search = LdapSearch(self._settings, self._templates, asked)

        async def question(connection: LdapConnection) -> Answer:
            return await in_thread(lambda: search.run(connection, base, query))

        answer = await self._servers.ask(question, lambda _, text: text)
        for text in search.warnings:
            warn(text)
        if answer is None or answer.failed:
            raise TableRetry(f"table {self.name}: query error")
        return None if answer.value is None else Row(answer.value, self.name, asked)

    async def _connect(self, host: Host) -> LdapConnection:
        return await in_thread(lambda: connect(self._settings))

    def close(self) -> None:
        """Close the connections."""
        self._servers.close()
        self._keys.close()


def connect(settings: LdapSettings) -> LdapConnection:
    """A connection, encrypted and bound as configured. Raises ServerRefused with a whole warning."""
    try:
        connection = LdapConnection(settings.urls, settings.options)
    except LdapFailure as error:
        raise ServerRefused(f"dict_ldap_connect: Unable to init LDAP server {settings.urls}") from error
    step = "set STARTTLS"
    try:
        if settings.start_tls:
            connection.start_tls()
        step = "bind"
        if settings.bind:
            connection.bind(settings.bind_dn, settings.bind_pw)
    except LdapFailure as error:
        connection.close()
        if step == "bind":
            who = settings.bind_dn or "empty or implicit"
            text = f"bind to server {settings.urls} with dn {who}: {error.code} ({error.words})"
        else:
            text = f"{step}: {error.code}: {error.words}"
        raise ServerRefused(f"dict_ldap_connect: Unable to {text}") from error
    return connection


def open_ldap(
    name: str,
    parameters: ClientParameters,
    open_member: Callable[[str], Table],
    *,
    fold: bool = True,
    unicode: bool = True,
) -> LdapTable:
    """Read the parameters; connects when first asked. Raises TableError."""
    if not openldap.available():
        raise TableError(f"{name}: LDAP tables need OpenLDAP's library: apt-get install libldap-2.5-0 (or libldap2)")
    return LdapTable(name, read_ldap_settings(parameters), open_member, fold=fold, unicode=unicode)
