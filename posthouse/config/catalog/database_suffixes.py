"""Settings of database tables written in main.cf itself: `ldap:name` with name_server_host and so on."""

_SQL = ("user", "password", "dbname", "hosts", "query", "domain", "result_format", "expansion_limit")
_SQL_OLD = ("table", "select_field", "where_field", "additional_conditions", "select_function")

DATABASE_SUFFIXES: dict[str, tuple[str, ...]] = {
    "ldap": (
        *("server_host", "server_port", "search_base", "query_filter", "domain", "scope", "timeout", "version"),
        *("result_attribute", "special_result_attribute", "leaf_result_attribute", "terminal_result_attribute"),
        *("result_format", "result_filter", "expansion_limit", "recursion_limit", "size_limit"),
        *("bind", "bind_dn", "bind_pw", "cache", "cache_expiry", "cache_size"),
        *("dereference", "chase_referrals", "debuglevel"),
        *("sasl_mechs", "sasl_realm", "sasl_authz_id", "sasl_minssf", "sasl"),
        *("start_tls", "tls_ca_cert_file", "tls_ca_cert_dir", "tls_cert", "tls_key", "tls_require_cert"),
        *("tls_random_file", "tls_cipher_suite"),
    ),
    "mysql": (
        *_SQL,
        *_SQL_OLD,
        *("option_file", "option_group", "require_result_set", "charset"),
        *("tls_key_file", "tls_cert_file", "tls_CAfile", "tls_CApath", "tls_ciphers", "tls_verify_cert"),
    ),
    "pgsql": (*_SQL, *_SQL_OLD),
    "sqlite": ("dbpath", "query", "domain", "result_format", "expansion_limit", *_SQL_OLD),
    "memcache": (
        *("memcache", "backup", "key_format", "domain", "flags", "ttl", "timeout", "max_try", "retry_pause"),
        *("line_size_limit", "data_size_limit"),
    ),
}
