"""TLS in general.

Each row: name, kind, default, minimum, maximum (0: none; of a string, its length).
"""

PARAMETERS: tuple[tuple[str, str, str, int, int], ...] = (
    ("tls_append_default_CA", "bool", "no", 0, 0),
    ("tls_config_file", "string", "default", 0, 0),
    ("tls_config_name", "string", "", 0, 0),
    ("tls_daemon_random_bytes", "int", "32", 0, 0),
    ("tls_dane_digests", "string", "sha512 sha256", 0, 0),
    ("tls_disable_workarounds", "string", "", 0, 0),
    ("tls_eecdh_auto_curves", "string", "X25519 X448 prime256v1 secp521r1 secp384r1", 0, 0),
    ("tls_eecdh_strong_curve", "string", "prime256v1", 0, 0),
    ("tls_eecdh_ultra_curve", "string", "secp384r1", 0, 0),
    ("tls_export_cipherlist", "string", "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH", 0, 0),
    ("tls_fast_shutdown_enable", "bool", "yes", 0, 0),
    ("tls_high_cipherlist", "string", "aNULL:-aNULL:HIGH:@STRENGTH", 0, 0),
    ("tls_legacy_public_key_fingerprints", "bool", "no", 0, 0),
    ("tls_low_cipherlist", "string", "aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH", 0, 0),
    ("tls_medium_cipherlist", "string", "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH", 0, 0),
    ("tls_null_cipherlist", "string", "eNULL:!aNULL", 0, 0),
    ("tls_preempt_cipherlist", "bool", "no", 0, 0),
    ("tls_random_bytes", "int", "32", 1, 0),
    ("tls_random_exchange_name", "string", "${data_directory}/prng_exch", 0, 0),
    ("tls_random_prng_update_period", "time", "3600s", 1, 0),
    ("tls_random_reseed_period", "time", "3600s", 1, 0),
    ("tls_random_source", "string", "dev:/dev/urandom", 0, 0),
    ("tls_server_sni_maps", "string", "", 0, 0),
    ("tls_session_ticket_cipher", "string", "aes-256-cbc", 0, 0),
    ("tls_ssl_options", "string", "", 0, 0),
    ("tls_wildcard_matches_multiple_labels", "bool", "yes", 0, 0),
)
