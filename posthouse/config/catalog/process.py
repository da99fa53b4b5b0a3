"""Processes, sockets and services of the original: who talks to whom.

Each row: name, kind, default, minimum, maximum (0: none; of a string, its length).
"""

PARAMETERS: tuple[tuple[str, str, str, int, int], ...] = (
    ("address_verify_service_name", "string", "verify", 1, 0),
    ("application_event_drain_time", "time", "100s", 1, 0),
    ("bounce_service_name", "string", "bounce", 1, 0),
    ("cleanup_service_name", "string", "cleanup", 1, 0),
    ("command_directory", "string", "/usr/sbin", 1, 0),
    ("connection_cache_service_name", "string", "scache", 1, 0),
    ("daemon_directory", "string", "/usr/lib/postfix/sbin", 1, 0),
    ("daemon_table_open_error_is_fatal", "bool", "no", 0, 0),
    ("daemon_timeout", "time", "18000s", 1, 0),
    ("debugger_command", "string", "", 0, 0),
    ("default_process_limit", "int", "100", 1, 0),
    ("defer_service_name", "string", "defer", 1, 0),
    ("dnsblog_reply_delay", "time", "0s", 0, 0),
    ("dnsblog_service_name", "string", "dnsblog", 1, 0),
    ("dont_remove", "int", "0", 0, 0),
    ("error_service_name", "string", "error", 1, 0),
    ("export_environment", "string", "TZ MAIL_CONFIG LANG", 0, 0),
    ("fault_injection_code", "int", "0", 0, 0),
    ("flush_service_name", "string", "flush", 1, 0),
    ("fork_attempts", "int", "5", 1, 0),
    ("fork_delay", "time", "1s", 1, 0),
    (
        "import_environment",
        "string",
        "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME",
        0,
        0,
    ),
    ("ipc_idle", "time", "5s", 1, 0),
    ("ipc_timeout", "time", "3600s", 1, 0),
    ("ipc_ttl", "time", "1000s", 1, 0),
    ("known_tcp_ports", "string", "lmtp=24, smtp=25, smtps=submissions=465, submission=587", 0, 0),
    ("master_service_disable", "string", "", 0, 0),
    ("max_idle", "time", "100s", 1, 0),
    ("max_use", "int", "100", 1, 0),
    ("pickup_service_name", "string", "pickup", 1, 0),
    ("postlog_service_name", "string", "postlog", 1, 0),
    ("process_id", "int", "5592", 0, 0),
    ("process_id_directory", "string", "pid", 1, 0),
    ("process_name", "string", "postconf", 0, 0),
    (
        "proxy_read_maps",
        "string",
        "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains "
        "$virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains "
        "$canonical_maps $sender_canonical_maps $recipient_canonical_maps $relocated_maps "
        "$transport_maps $mynetworks $smtpd_sender_login_maps $sender_bcc_maps "
        "$recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps $alias_maps "
        "$smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions "
        "$smtpd_relay_restrictions $smtpd_recipient_restrictions "
        "$address_verify_sender_dependent_default_transport_maps "
        "$address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps "
        "$fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps "
        "$lmtp_pix_workaround_maps $lmtp_sasl_password_maps $lmtp_tls_policy_maps "
        "$mailbox_command_maps $mailbox_transport_maps "
        "$postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps "
        "$sender_dependent_default_transport_maps $sender_dependent_relayhost_maps "
        "$smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps "
        "$smtp_sasl_password_maps $smtp_tls_policy_maps "
        "$smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps "
        "$virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps "
        "$smtpd_reject_footer_maps $tls_server_sni_maps $tlsproxy_client_policy_maps "
        "$default_delivery_status_filter $lmtp_delivery_status_filter $lmtp_dns_reply_filter "
        "$lmtp_reply_filter $local_delivery_status_filter $pipe_delivery_status_filter "
        "$postscreen_command_filter $smtp_delivery_status_filter $smtp_dns_reply_filter "
        "$smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter "
        "$virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks "
        "$lmtp_header_checks $lmtp_mime_header_checks $lmtp_nested_header_checks "
        "$milter_header_checks $mime_header_checks $nested_header_checks $smtp_body_checks "
        "$smtp_header_checks $smtp_mime_header_checks $smtp_nested_header_checks",
        0,
        0,
    ),
    (
        "proxy_write_maps",
        "string",
        "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map",
        0,
        0,
    ),
    ("proxymap_service_name", "string", "proxymap", 1, 0),
    ("proxywrite_service_name", "string", "proxywrite", 1, 0),
    ("qmgr_daemon_timeout", "time", "1000s", 1, 0),
    ("qmgr_ipc_timeout", "time", "60s", 1, 0),
    ("queue_service_name", "string", "qmgr", 1, 0),
    ("rewrite_service_name", "string", "rewrite", 1, 0),
    ("service_name", "string", "", 0, 0),
    ("service_throttle_time", "time", "60s", 1, 0),
    ("showq_service_name", "string", "showq", 1, 0),
    ("smtpd_service_name", "string", "smtpd", 1, 0),
    ("tlsmgr_service_name", "string", "tlsmgr", 0, 0),
    ("trace_service_name", "string", "trace", 1, 0),
    ("trigger_timeout", "time", "10s", 1, 0),
)
