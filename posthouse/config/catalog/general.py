"""Everything else.

Each row: name, kind, default, minimum, maximum (0: none; of a string, its length).
"""

PARAMETERS: tuple[tuple[str, str, str, int, int], ...] = (
    ("anvil_rate_time_unit", "time", "60s", 1, 0),
    ("anvil_status_update_time", "time", "600s", 1, 0),
    ("authorized_flush_users", "string", "static:anyone", 0, 0),
    ("authorized_mailq_users", "string", "static:anyone", 0, 0),
    ("authorized_submit_users", "string", "static:anyone", 0, 0),
    ("berkeley_db_create_buffer_size", "int", "16777216", 1, 0),
    ("berkeley_db_read_buffer_size", "int", "131072", 1, 0),
    ("connection_cache_protocol_timeout", "time", "5s", 1, 0),
    ("connection_cache_status_update_time", "time", "600s", 1, 0),
    ("connection_cache_ttl_limit", "time", "2s", 1, 0),
    ("debug_peer_level", "int", "2", 1, 0),
    ("debug_peer_list", "string", "", 0, 0),
    ("default_database_type", "string", "hash", 1, 0),
    ("disable_dns_lookups", "bool", "no", 0, 0),
    ("dns_ncache_ttl_fix_enable", "bool", "no", 0, 0),
    ("dnssec_probe", "string", "ns:.", 0, 0),
    ("enable_long_queue_ids", "bool", "no", 0, 0),
    ("ignore_mx_lookup_error", "bool", "no", 0, 0),
    ("lmdb_map_size", "int", "16777216", 1, 0),
    ("tcp_windowsize", "int", "0", 0, 0),
)
