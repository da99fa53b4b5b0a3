"""The parameters of ldap: tables.

Standards: ldap_table(5).
"""

from dataclasses import dataclass

from posthouse.tables import openldap
from posthouse.tables.client_parameters import ClientParameters
from posthouse.tables.openldap import LdapFailure, LdapOptions
from posthouse.tables.table import TableError
from posthouse.tables.warning import warn
from posthouse.tables.words import split_words

PORT = 389
BINDS = {"no": False, "none": False, "yes": True, "simple": True}
CONFIGURED_TLS = (
    ("tls_random_file", openldap.OPT_X_TLS_RANDOM_FILE),
    ("tls_ca_cert_file", openldap.OPT_X_TLS_CACERTFILE),
    ("tls_ca_cert_dir", openldap.OPT_X_TLS_CACERTDIR),
    ("tls_cert", openldap.OPT_X_TLS_CERTFILE),
    ("tls_key", openldap.OPT_X_TLS_KEYFILE),
    ("tls_cipher_suite", openldap.OPT_X_TLS_CIPHER_SUITE),
)


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """The parameters."""

    source: str
    urls: str
    search_base: str
    query_filter: str
    result_format: str
    domain: str
    scope: int
    terminal: tuple[str, ...]
    leaf: tuple[str, ...]
    ordinary: tuple[str, ...]
    special: tuple[str, ...]
    bind: bool
    bind_dn: str
    bind_pw: str
    start_tls: bool
    recursion_limit: int
    expansion_limit: int
    size_limit: int
    options: LdapOptions

    @property
    def attributes(self) -> tuple[str, ...]:
        """All that are asked for, in the order of their meaning."""
        return (*self.terminal, *self.leaf, *self.ordinary, *self.special)


def read_ldap_settings(parameters: ClientParameters) -> LdapSettings:
    """Raises TableError; warns of what Postfix warns of."""
    source = parameters.source
    hosts = parameters.text("server_host", "localhost", 1)
    port = parameters.integer("server_port", PORT)
    version = parameters.integer("version", 3, 2)
    if version not in (2, 3):
        warn(f"dict_ldap_open: {source} Unknown version {version}, using 3.")
        version = 3
    urls: list[str] = []
    ssl = False
    for word in split_words(hosts):
        if not openldap.is_url(word):
            urls.append(f"ldap://{word}" if ":" in word else f"ldap://{word}:{port}")
            continue
        try:
            url = openldap.parse_url(word)
        except LdapFailure as error:
            warn(f"dict_ldap_open: error parsing URL {word}: {error.code}: {error.words}; skipping")
            continue
        if url.scheme.lower() != "ldap" and version != 3:
            warn(f"dict_ldap_open: URL scheme {url.scheme} requires protocol version 3")
            version = 3
        ssl = ssl or url.scheme.lower() == "ldaps"
        urls.append(word)
    scope = parameters.text("scope", "sub", 1)
    if scope.lower() not in openldap.SCOPES:
        warn(f"dict_ldap_open: {source}: Unrecognized value {scope} specified for scope; using sub")
        scope = "sub"
    bind = parameters.text("bind", "yes", 1)
    if bind == "sasl":
        raise TableError(f"{source}: bind = sasl: this version of Posthouse has simple binds only")
    if bind not in BINDS:
        raise TableError(f"{source}: unsupported parameter value: bind = {bind}")
    if parameters.boolean("cache", False):
        warn(f"dict_ldap_open: {source} ignoring cache")
    for old in ("cache_expiry", "cache_size"):
        if parameters.integer(old, -1) >= 0:
            warn(f"dict_ldap_open: {source} ignoring {old}")
    dereference = parameters.integer("dereference", 0)
    if not 0 <= dereference <= 3:
        warn(f"dict_ldap_open: {source} Unrecognized value {dereference} specified for dereference; using 0")
        dereference = 0
    start_tls = parameters.boolean("start_tls", False)
    if start_tls and version < 3:
        warn(f"dict_ldap_open: {source} start_tls requires protocol version 3")
        version = 3
    tls = [(option, parameters.text(name), name) for name, option in CONFIGURED_TLS]
    expansion_limit = parameters.integer("expansion_limit", 0)
    return LdapSettings(
        source=source,
        urls=" ".join(urls),
        search_base=parameters.text("search_base"),
        query_filter=parameters.text("query_filter", "(mailacceptinggeneralid=%s)"),
        result_format=parameters.text("result_format") or parameters.text("result_filter", "%s", 1),
        domain=parameters.text("domain"),
        scope=openldap.SCOPES[scope.lower()],
        terminal=tuple(split_words(parameters.text("terminal_result_attribute"))),
        leaf=tuple(split_words(parameters.text("leaf_result_attribute"))),
        ordinary=tuple(split_words(parameters.text("result_attribute", "maildrop"))),
        special=tuple(split_words(parameters.text("special_result_attribute"))),
        bind=BINDS[bind],
        bind_dn=parameters.text("bind_dn"),
        bind_pw=parameters.text("bind_pw"),
        start_tls=start_tls,
        recursion_limit=parameters.integer("recursion_limit", 1000, 1),
        expansion_limit=expansion_limit,
        size_limit=parameters.integer("size_limit", expansion_limit),
        options=LdapOptions(
            version=version,
            timeout=parameters.integer("timeout", 10),
            dereference=dereference,
            referrals=parameters.boolean("chase_referrals", False),
            debug_level=parameters.integer("debuglevel", 0),
            tls=tuple(one for one in tls if one[1]) if start_tls or ssl else None,
            require_certificate=parameters.boolean("tls_require_cert", False),
        ),
    )
