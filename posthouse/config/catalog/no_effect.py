"""Parameters that have no effect here, and why not: what they tune does not exist in this program."""

_PARTS = "the parts of this program do not talk over named sockets"
_PROCESSES = "one process serves many sessions; none is started or retired per request"
_TLS_PROXY = "TLS is spoken by the process that serves the session; there is no TLS proxy"
_QUEUE_FILES = "the queue is a database, not a tree of files"
_RANDOM = "random numbers come from the operating system"
_DOCUMENTATION = "it only tells installation programs where files are"
_BERKELEY = "tables are not made with Berkeley DB's own library"
_SET_GID = "submission needs no set-gid program: the kernel tells who is calling"
_OLD_CIPHERS = "TLS libraries of today have no export ciphers"
_TICKETS = "TLS sessions are resumed by tickets, which need no table on the server"
_DSA = "TLS libraries of today have no ciphers for DSA certificates"
_KEPT_IN_TLS = "connections in TLS are kept and used again as all others are"
_OWN_SASL = "the SASL mechanisms of the client are its own: no library is asked"
_RENEGOTIATION = "the renegotiation that it guards against is refused by TLS libraries of today"
_DEBUG = "it is an aid for debugging the original's source code"

_BY_REASON: dict[str, tuple[str, ...]] = {
    _PARTS: (
        *("address_verify_service_name", "bounce_service_name"),
        *("connection_cache_service_name", "defer_service_name", "dnsblog_service_name", "error_service_name"),
        *("flush_service_name", "pickup_service_name", "postlog_service_name", "proxymap_service_name"),
        *("proxywrite_service_name", "queue_service_name", "rewrite_service_name", "showq_service_name"),
        *("tlsmgr_service_name", "tlsproxy_service_name", "trace_service_name"),
        *("ipc_idle", "ipc_timeout", "ipc_ttl", "qmgr_ipc_timeout", "trigger_timeout"),
        *("proxy_read_maps", "proxy_write_maps", "connection_cache_protocol_timeout"),
        "connection_cache_status_update_time",
    ),
    _TICKETS: ("smtpd_tls_session_cache_database",),
    _PROCESSES: (
        *("max_idle", "max_use", "fork_attempts", "fork_delay", "daemon_timeout", "application_event_drain_time"),
        *("qmgr_daemon_timeout", "postlogd_watchdog_timeout", "postscreen_watchdog_timeout"),
        *("dnsblog_reply_delay", "anvil_status_update_time"),
    ),
    _TLS_PROXY: tuple(
        f"tlsproxy_{name}"
        for name in (
            *("client_CAfile", "client_CApath", "client_cert_file", "client_chain_files", "client_dcert_file"),
            *("client_dkey_file", "client_eccert_file", "client_eckey_file", "client_enforce_tls"),
            *("client_fingerprint_digest", "client_key_file", "client_loglevel", "client_loglevel_parameter"),
            *("client_per_site", "client_policy_maps", "client_scert_verifydepth", "client_security_level"),
            *("client_use_tls", "enforce_tls", "tls_CAfile", "tls_CApath", "tls_always_issue_session_ids"),
            *("tls_ask_ccert", "tls_ccert_verifydepth", "tls_cert_file", "tls_chain_files", "tls_ciphers"),
            *("tls_dcert_file", "tls_dh1024_param_file", "tls_dh512_param_file", "tls_dkey_file"),
            *("tls_eccert_file", "tls_eckey_file", "tls_eecdh_grade", "tls_enable_rpk", "tls_exclude_ciphers"),
            *("tls_fingerprint_digest", "tls_key_file", "tls_loglevel", "tls_mandatory_ciphers"),
            *("tls_mandatory_exclude_ciphers", "tls_mandatory_protocols", "tls_protocols", "tls_req_ccert"),
            *("tls_security_level", "use_tls", "watchdog_timeout"),
        )
    ),
    _QUEUE_FILES: ("hash_queue_depth", "hash_queue_names", "queue_file_attribute_count_limit"),
    _RANDOM: (
        *("tls_daemon_random_bytes", "tls_random_bytes", "tls_random_exchange_name"),
        *("tls_random_prng_update_period", "tls_random_reseed_period"),
    ),
    _DOCUMENTATION: (
        *("html_directory", "mailq_path", "manpage_directory", "meta_directory", "newaliases_path"),
        *("readme_directory", "sample_directory", "sendmail_path", "shlib_directory"),
    ),
    _BERKELEY: (
        *("berkeley_db_create_buffer_size", "berkeley_db_read_buffer_size"),
        *("non_bdb_custom_mapping", "non_bdb_migration_allow_root_prefixes", "non_bdb_migration_allow_user_prefixes"),
        *("non_bdb_migration_level", "non_bdb_migration_log_redirect", "non_bdb_migration_service_name"),
    ),
    _SET_GID: ("setgid_group",),
    _OLD_CIPHERS: ("smtpd_tls_dh512_param_file",),
    _DSA: (
        *("smtp_tls_dcert_file", "smtp_tls_dkey_file", "lmtp_tls_dcert_file", "lmtp_tls_dkey_file"),
        *("smtpd_tls_dcert_file", "smtpd_tls_dkey_file", "postscreen_tls_dcert_file", "postscreen_tls_dkey_file"),
    ),
    _KEPT_IN_TLS: ("smtp_tls_connection_reuse", "lmtp_tls_connection_reuse"),
    _OWN_SASL: ("smtp_sasl_type", "smtp_sasl_path", "lmtp_sasl_type", "lmtp_sasl_path"),
    _RENEGOTIATION: ("smtp_tls_block_early_mail_reply", "lmtp_tls_block_early_mail_reply"),
    _DEBUG: (
        *("debugger_command", "dont_remove", "fault_injection_code", "backwards_bounce_logfile_compatibility"),
        *("sun_mailtool_compatibility", "process_id", "process_name"),
    ),
}

REASONS: dict[str, str] = {name: reason for reason, names in _BY_REASON.items() for name in names}
"""The reason, by name."""

SILENT = frozenset((*_BY_REASON[_DOCUMENTATION], *_BY_REASON[_SET_GID]))
"""Names whose setting is not worth a word: distributions set them all."""
