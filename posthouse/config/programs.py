"""The parameters that each program of Postfix reads when it starts, in its order.

A program does not start when one of them is bad: that shows at once, in Postfix's words, and not when the first mail
needs it. What every program reads stands in everywhere.py; what none of them reads here is checked where it is used.

Standards: the manual pages of the programs; bounds as Postfix 3.7 has them (tests/golden/differential).
"""

from collections.abc import Iterator

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_value

TYPES = {"bool": bool, "int": int, "time": int, "string": str, "raw": str}

PROGRAMS: dict[str, tuple[str, ...]] = {
    "smtpd": (
        *("smtpd_soft_error_limit", "smtpd_hard_error_limit", "smtpd_junk_command_limit"),
        *("address_verify_poll_count", "smtpd_recipient_limit", "unknown_client_reject_code"),
        *("invalid_hostname_reject_code", "unknown_hostname_reject_code", "unknown_address_reject_code"),
        *("relay_domains_reject_code", "maps_rbl_reject_code", "access_map_reject_code", "access_map_defer_code"),
        *("reject_code", "defer_code", "non_fqdn_reject_code", "smtpd_recipient_overshoot_limit"),
        *("smtpd_history_flush_threshold", "unverified_sender_reject_code", "unverified_recipient_reject_code"),
        *("unverified_sender_defer_code", "unverified_recipient_defer_code"),
        *("multi_recipient_bounce_reject_code", "unknown_local_recipient_reject_code"),
        *("unknown_virtual_alias_reject_code", "unknown_virtual_mailbox_reject_code"),
        *("unknown_relay_recipient_reject_code", "plaintext_reject_code"),
        *("smtpd_forbid_bare_newline_reject_code", "smtpd_client_connection_rate_limit"),
        *("smtpd_client_connection_count_limit", "smtpd_client_message_rate_limit"),
        *("smtpd_client_recipient_rate_limit", "smtpd_client_new_tls_session_rate_limit"),
        *("smtpd_client_auth_rate_limit", "smtpd_tls_ccert_verifydepth", "smtpd_sasl_response_limit"),
        *("smtpd_policy_service_request_limit", "smtpd_policy_service_try_limit", "smtpd_min_data_rate"),
        *("queue_minfree", "smtpd_helo_required", "smtpd_delay_reject", "strict_rfc821_envelopes"),
        *("disable_vrfy_command", "allow_untrusted_routing", "smtpd_sasl_auth_enable"),
        *("smtpd_sasl_authenticated_header", "broken_sasl_auth_clients", "show_user_unknown_table_name"),
        *("smtpd_reject_unlisted_sender", "smtpd_reject_unlisted_recipient", "smtpd_use_tls"),
        *("smtpd_enforce_tls", "smtpd_tls_wrappermode", "smtpd_tls_auth_only", "smtpd_tls_ask_ccert"),
        *("smtpd_tls_req_ccert", "smtpd_tls_received_header", "smtpd_tls_always_issue_session_ids"),
        *("smtpd_peername_lookup", "smtpd_delay_open_until_valid_rcpt", "smtpd_client_port_logging"),
        *("smtpd_forbid_unauth_pipelining", "smtpd_relay_before_recipient_restrictions"),
        *("smtpd_per_request_deadline", "smtpd_timeout", "smtpd_error_sleep_time", "smtpd_proxy_timeout"),
        *("address_verify_poll_delay", "smtpd_policy_service_timeout", "smtpd_policy_service_max_idle"),
        *("smtpd_policy_service_max_ttl", "smtpd_starttls_timeout", "milter_connect_timeout"),
        *("milter_command_timeout", "milter_content_timeout", "address_verify_sender_ttl"),
        *("smtpd_upstream_proxy_timeout", "smtpd_policy_service_retry_delay", "smtpd_banner"),
        *("bounce_notice_recipient", "error_notice_recipient", "smtpd_sasl_path", "smtpd_sasl_service"),
        *("smtpd_tls_ciphers", "smtpd_tls_mandatory_ciphers", "smtpd_tls_eecdh_grade"),
        *("smtpd_tls_fingerprint_digest", "smtpd_sasl_type", "milter_protocol", "milter_default_action"),
        *("milter_macro_daemon_name", "milter_macro_v", "reject_tempfail_action"),
        *("unknown_helo_hostname_tempfail_action", "unknown_address_tempfail_action"),
        *("unverified_recipient_tempfail_action", "unverified_sender_tempfail_action"),
        *("smtpd_policy_service_default_action", "header_from_format", "smtpd_forbid_bare_newline"),
        *("smtpd_expansion_filter", "default_rbl_reply"),
    ),
    "smtp": (
        *("smtp_connect_timeout", "smtp_helo_timeout", "smtp_xforward_timeout", "smtp_mail_timeout"),
        *("smtp_rcpt_timeout", "smtp_data_init_timeout", "smtp_data_xfer_timeout", "smtp_data_done_timeout"),
        *("smtp_rset_timeout", "smtp_quit_timeout", "smtp_pix_workaround_threshold_time"),
        *("smtp_pix_workaround_delay_time", "queue_run_delay", "minimal_backoff_time"),
        *("smtp_connection_cache_time_limit", "smtp_connection_reuse_time_limit", "smtp_starttls_timeout"),
        *("connection_cache_protocol_timeout", "smtp_sasl_auth_cache_time", "smtp_line_length_limit"),
        *("smtp_mx_address_limit", "smtp_mx_session_limit", "smtp_connection_reuse_count_limit"),
        *("smtp_tls_scert_verifydepth", "smtp_min_data_rate", "smtp_skip_5xx_greeting", "ignore_mx_lookup_error"),
        *("smtp_skip_quit_response", "smtp_always_send_ehlo", "smtp_never_send_ehlo", "smtp_sasl_auth_enable"),
        *("smtp_randomize_addresses", "smtp_quote_rfc821_envelope", "smtp_defer_if_no_mx_address_found"),
        *("smtp_send_xforward_command", "smtp_connection_cache_on_demand", "smtp_use_tls", "smtp_enforce_tls"),
        *("smtp_tls_connection_reuse", "smtp_tls_enforce_peername", "smtp_tls_note_starttls_offer"),
        *("smtp_tls_block_early_mail_reply", "smtp_tls_force_insecure_host_tlsa_lookup", "smtp_tls_wrappermode"),
        *("smtp_sender_dependent_authentication", "smtp_cname_overrides_servername"),
        *("smtp_sasl_auth_soft_bounce", "lmtp_assume_final", "smtp_send_dummy_mail_auth"),
        *("smtp_balance_inet_protocols", "smtp_bind_address_enforce", "smtp_per_request_deadline"),
        *("error_notice_recipient", "smtp_tls_mandatory_ciphers", "smtp_tls_verify_cert_match"),
        *("smtp_tls_secure_cert_match", "smtp_tls_fingerprint_digest", "smtp_tls_ciphers", "smtp_sasl_type"),
        *("smtp_address_verify_target", "smtp_helo_name", "smtp_host_lookup", "connection_cache_service_name"),
        *("smtp_address_preference", "tlsproxy_service_name", "header_from_format"),
    ),
    "lmtp": (
        *("lmtp_connect_timeout", "lmtp_lhlo_timeout", "lmtp_xforward_timeout", "lmtp_mail_timeout"),
        *("lmtp_rcpt_timeout", "lmtp_data_init_timeout", "lmtp_data_xfer_timeout", "lmtp_data_done_timeout"),
        *("lmtp_rset_timeout", "lmtp_quit_timeout", "lmtp_pix_workaround_threshold_time"),
        *("lmtp_pix_workaround_delay_time", "queue_run_delay", "minimal_backoff_time"),
        *("lmtp_connection_cache_time_limit", "lmtp_connection_reuse_time_limit", "lmtp_starttls_timeout"),
        *("connection_cache_protocol_timeout", "lmtp_sasl_auth_cache_time", "lmtp_line_length_limit"),
        *("lmtp_mx_address_limit", "lmtp_mx_session_limit", "lmtp_connection_reuse_count_limit"),
        *("lmtp_tls_scert_verifydepth", "lmtp_min_data_rate", "lmtp_skip_5xx_greeting"),
        *("lmtp_skip_quit_response", "lmtp_sasl_auth_enable", "lmtp_randomize_addresses"),
        *("lmtp_quote_rfc821_envelope", "lmtp_defer_if_no_mx_address_found", "lmtp_send_xforward_command"),
        *("lmtp_connection_cache_on_demand", "lmtp_use_tls", "lmtp_enforce_tls", "lmtp_tls_connection_reuse"),
        *("lmtp_tls_enforce_peername", "lmtp_tls_note_starttls_offer", "lmtp_tls_block_early_mail_reply"),
        *("lmtp_tls_force_insecure_host_tlsa_lookup", "lmtp_tls_wrappermode"),
        *("lmtp_sender_dependent_authentication", "lmtp_cname_overrides_servername"),
        *("lmtp_sasl_auth_soft_bounce", "lmtp_assume_final", "lmtp_send_dummy_mail_auth"),
        *("lmtp_balance_inet_protocols", "lmtp_bind_address_enforce", "lmtp_per_request_deadline"),
        *("error_notice_recipient", "lmtp_tls_mandatory_ciphers", "lmtp_tls_verify_cert_match"),
        *("lmtp_tls_secure_cert_match", "lmtp_tls_fingerprint_digest", "lmtp_tls_ciphers", "lmtp_sasl_type"),
        *("lmtp_address_verify_target", "lmtp_lhlo_name", "lmtp_host_lookup", "connection_cache_service_name"),
        *("lmtp_address_preference", "tlsproxy_service_name", "header_from_format"),
    ),
    "local": (
        *("duplicate_filter_limit", "mailbox_size_limit", "biff", "expand_owner_alias", "require_home_directory"),
        *("sun_mailtool_compatibility", "frozen_delivered_to", "reset_owner_alias", "strict_mailbox_ownership"),
        *("command_time_limit", "command_expansion_filter", "forward_expansion_filter"),
        *("execution_directory_expansion_filter", "mailbox_delivery_lock"),
    ),
    "virtual": (
        *("virtual_minimum_uid", "virtual_mailbox_limit", "strict_mailbox_ownership", "virtual_mailbox_base"),
        "virtual_mailbox_lock",
    ),
    "pipe": ("command_time_limit",),
    "qmgr": (
        *("qmgr_message_active_limit", "qmgr_message_recipient_limit", "qmgr_message_recipient_minimum"),
        *("default_recipient_limit", "default_extra_recipient_limit", "default_recipient_refill_limit"),
        *("default_delivery_slot_cost", "default_delivery_slot_loan", "default_delivery_slot_discount"),
        *("default_minimum_delivery_slots", "initial_destination_concurrency"),
        *("default_destination_concurrency_limit", "default_destination_recipient_limit"),
        *("default_destination_concurrency_failed_cohort_limit", "address_verify_pending_request_limit"),
        *("disable_verp_bounces", "destination_concurrency_feedback_debug", "confirm_delay_cleared"),
        *("queue_run_delay", "minimal_backoff_time", "maximal_backoff_time", "maximal_queue_lifetime"),
        *("bounce_queue_lifetime", "transport_retry_time", "qmgr_clog_warn_time"),
        *("default_recipient_refill_delay", "default_transport_rate_delay", "default_destination_rate_delay"),
        *("qmgr_daemon_timeout", "qmgr_ipc_timeout", "default_destination_concurrency_positive_feedback"),
        "default_destination_concurrency_negative_feedback",
    ),
    "cleanup": (
        *("hopcount_limit", "duplicate_filter_limit", "queue_file_attribute_count_limit"),
        *("virtual_alias_recursion_limit", "virtual_alias_expansion_limit", "virtual_alias_address_length_limit"),
        *("body_checks_size_limit", "disable_verp_bounces", "detect_8bit_encoding_header"),
        *("always_add_missing_headers", "cleanup_replace_stray_cr_lf", "delay_warning_time"),
        *("milter_connect_timeout", "milter_command_timeout", "milter_content_timeout", "canonical_classes"),
        *("sender_canonical_classes", "recipient_canonical_classes", "empty_address_recipient"),
        *("milter_protocol", "milter_default_action", "milter_macro_daemon_name", "milter_macro_v"),
        "header_from_format",
    ),
    "trivial-rewrite": (
        *("swap_bangpath", "append_at_myorigin", "allow_percent_hack", "resolve_dequoted_address"),
        *("show_user_unknown_table_name", "resolve_null_domain", "resolve_numeric_domain", "allow_min_user"),
        *("append_dot_mydomain", "local_transport", "virtual_transport", "relay_transport", "default_transport"),
        *("empty_address_recipient", "address_verify_local_transport", "address_verify_virtual_transport"),
        *("address_verify_relay_transport", "address_verify_default_transport"),
        *("empty_address_relayhost_maps_lookup_key", "empty_address_default_transport_maps_lookup_key"),
    ),
    "bounce": (
        *("bounce_size_limit", "maximal_queue_lifetime", "delay_warning_time", "enable_threaded_bounces"),
        *("bounce_notice_recipient", "2bounce_notice_recipient", "delay_notice_recipient", "header_from_format"),
    ),
    "verify": (
        *("address_verify_positive_expire_time", "address_verify_positive_refresh_time"),
        *("address_verify_negative_expire_time", "address_verify_negative_refresh_time"),
        *("address_verify_cache_cleanup_interval", "address_verify_sender_ttl"),
    ),
    "anvil": (*("anvil_rate_time_unit", "anvil_status_update_time"),),
    "flush": (*("fast_flush_refresh_time", "fast_flush_purge_time"),),
    "showq": (*("duplicate_filter_limit", "empty_address_recipient"),),
    "scache": (*("connection_cache_ttl_limit", "connection_cache_status_update_time"),),
    "tlsmgr": (
        *("tls_random_reseed_period", "tls_random_prng_update_period", "smtpd_tls_session_cache_timeout"),
        *("smtp_tls_session_cache_timeout", "lmtp_tls_session_cache_timeout", "tls_random_bytes"),
    ),
    "postscreen": (
        *("postscreen_dnsbl_threshold", "postscreen_command_count_limit", "smtpd_client_connection_count_limit"),
        *("postscreen_post_queue_limit", "postscreen_pre_queue_limit"),
        *("postscreen_client_connection_count_limit", "postscreen_dnsbl_allowlist_threshold"),
        *("postscreen_command_time_limit", "postscreen_greet_wait", "postscreen_greet_ttl"),
        *("postscreen_dnsbl_min_ttl", "postscreen_dnsbl_max_ttl", "postscreen_pipelining_ttl"),
        *("postscreen_non_smtp_command_ttl", "postscreen_bare_newline_ttl", "postscreen_cache_retention_time"),
        *("postscreen_cache_cleanup_interval", "postscreen_watchdog_timeout"),
        *("postscreen_upstream_proxy_timeout", "postscreen_dnsbl_timeout", "smtpd_helo_required"),
        *("disable_vrfy_command", "smtpd_use_tls", "smtpd_enforce_tls", "postscreen_pipelining_enable"),
        *("postscreen_non_smtp_command_enable", "postscreen_bare_newline_enable", "postscreen_helo_required"),
        *("postscreen_disable_vrfy_command", "postscreen_use_tls", "postscreen_enforce_tls"),
        *("smtpd_service_name", "smtpd_banner", "postscreen_greet_action", "postscreen_dnsbl_action"),
        *("postscreen_pipelining_action", "postscreen_non_smtp_command_action", "postscreen_bare_newline_action"),
        *("postscreen_denylist_action", "dnsblog_service_name", "tlsproxy_service_name"),
        *("smtpd_expansion_filter", "postscreen_expansion_filter"),
    ),
}


def check_program(configuration: Configuration, program: str) -> Iterator[tuple[str, str]]:
    """Name and complaint of each bad one."""
    given = configuration.names()
    for name in PROGRAMS.get(program, ()):
        if name == "virtual_mailbox_base" and name in given and not configuration.value(name):
            yield name, f"bad string length 0 < 1: {name} = "
        parameter = configuration.parameter(name)
        assert parameter is not None, "the catalog holds them all"
        try:
            read_value(configuration, name, TYPES[parameter.kind])
        except ConfigError as error:
            yield name, error.text


def require_program(configuration: Configuration, program: str) -> None:
    """Raise ConfigError at the first of them that is bad."""
    for _, text in check_program(configuration, program):
        raise ConfigError(text)
