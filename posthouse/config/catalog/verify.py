"""Address verification.

Each row: name, kind, default, minimum, maximum (0: none; of a string, its length).
"""

PARAMETERS: tuple[tuple[str, str, str, int, int], ...] = (
    ("address_verify_cache_cleanup_interval", "time", "12h", 0, 0),
    ("address_verify_default_transport", "string", "$default_transport", 1, 0),
    ("address_verify_local_transport", "string", "$local_transport", 1, 0),
    ("address_verify_map", "string", "btree:$data_directory/verify_cache", 0, 0),
    ("address_verify_negative_cache", "bool", "yes", 0, 0),
    ("address_verify_negative_expire_time", "time", "3d", 1, 0),
    ("address_verify_negative_refresh_time", "time", "3h", 1, 0),
    ("address_verify_pending_request_limit", "int", "5000", 1, 0),
    ("address_verify_poll_count", "int", "${stress?{1}:{3}}", 1, 0),
    ("address_verify_poll_delay", "time", "3s", 1, 0),
    ("address_verify_positive_expire_time", "time", "31d", 1, 0),
    ("address_verify_positive_refresh_time", "time", "7d", 1, 0),
    ("address_verify_relay_transport", "string", "$relay_transport", 1, 0),
    ("address_verify_relayhost", "string", "$relayhost", 0, 0),
    ("address_verify_sender", "string", "$double_bounce_sender", 0, 0),
    (
        "address_verify_sender_dependent_default_transport_maps",
        "string",
        "$sender_dependent_default_transport_maps",
        0,
        0,
    ),
    ("address_verify_sender_dependent_relayhost_maps", "string", "$sender_dependent_relayhost_maps", 0, 0),
    ("address_verify_sender_ttl", "time", "0s", 0, 0),
    ("address_verify_transport_maps", "string", "$transport_maps", 0, 0),
    ("address_verify_virtual_transport", "string", "$virtual_transport", 1, 0),
    ("unverified_recipient_defer_code", "int", "450", 200, 499),
    ("unverified_recipient_reject_code", "int", "450", 200, 599),
    ("unverified_recipient_reject_reason", "string", "", 0, 0),
    ("unverified_recipient_tempfail_action", "string", "$reject_tempfail_action", 1, 0),
    ("unverified_sender_defer_code", "int", "450", 200, 499),
    ("unverified_sender_reject_code", "int", "450", 200, 599),
    ("unverified_sender_reject_reason", "string", "", 0, 0),
    ("unverified_sender_tempfail_action", "string", "$reject_tempfail_action", 1, 0),
)
