"""What the SMTP and LMTP client is told by main.cf.

The LMTP client reads the same parameters under lmtp_ names; rename() knows the few that differ
in more than the prefix. Which hosts are tried is MxSettings' matter (dns/mx.py).
"""

from dataclasses import dataclass

_LMTP_NAMES = {
    "smtp_helo_name": "lmtp_lhlo_name",
    "smtp_helo_timeout": "lmtp_lhlo_timeout",
    "smtp_discard_ehlo_keywords": "lmtp_discard_lhlo_keywords",
    "smtp_discard_ehlo_keyword_address_maps": "lmtp_discard_lhlo_keyword_address_maps",
    "smtp_sasl_password_result_delimiter": "smtp_sasl_password_result_delimiter",
    "smtp_always_send_ehlo": "smtp_always_send_ehlo",
    "smtp_never_send_ehlo": "smtp_never_send_ehlo",
}
"""LMTP has no HELO; the three that follow have no form of their own for it."""


def lmtp_name(parameter: str) -> str:
    """The parameter that the LMTP client reads for one of the SMTP client's."""
    renamed = _LMTP_NAMES.get(parameter)
    if renamed is not None:
        return renamed
    return f"lmtp_{parameter[5:]}" if parameter.startswith("smtp_") else parameter


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """The SMTP client's parameters. Times are seconds."""

    # where to
    myhostname: str
    queue_directory: str
    relayhost: str
    smtp_tcp_port: str
    smtp_mx_session_limit: int
    smtp_fallback_relay: tuple[str, ...]
    smtp_bind_address: str
    smtp_bind_address6: str
    smtp_bind_address_enforce: bool

    # the dialogue
    smtp_helo_name: str
    smtp_always_send_ehlo: bool
    smtp_never_send_ehlo: bool
    smtp_skip_5xx_greeting: bool
    smtp_skip_quit_response: bool
    smtp_discard_ehlo_keywords: tuple[str, ...]
    smtp_line_length_limit: int
    disable_mime_output_conversion: bool
    smtp_send_dummy_mail_auth: bool
    smtp_send_xforward_command: bool
    lmtp_assume_final: bool
    smtp_quote_rfc821_envelope: bool
    smtp_reply_filter: str
    smtp_discard_ehlo_keyword_address_maps: str
    smtp_pix_workarounds: tuple[str, ...]
    smtp_pix_workaround_maps: str
    smtp_pix_workaround_threshold_time: int
    smtp_pix_workaround_delay_time: int
    minimal_backoff_time: int

    # how long
    smtp_connect_timeout: int
    smtp_helo_timeout: int
    smtp_starttls_timeout: int
    smtp_xforward_timeout: int
    smtp_mail_timeout: int
    smtp_rcpt_timeout: int
    smtp_data_init_timeout: int
    smtp_data_xfer_timeout: int
    smtp_data_done_timeout: int
    smtp_rset_timeout: int
    smtp_quit_timeout: int

    # kept connections
    smtp_connection_cache_on_demand: bool
    smtp_connection_cache_destinations: str
    smtp_connection_cache_time_limit: int
    smtp_connection_reuse_time_limit: int
    smtp_connection_reuse_count_limit: int

    # login
    smtp_sasl_auth_enable: bool
    smtp_sasl_password_maps: str
    smtp_sasl_password_result_delimiter: str
    smtp_sender_dependent_authentication: bool
    smtp_sasl_security_options: tuple[str, ...]
    smtp_sasl_tls_security_options: tuple[str, ...]
    smtp_sasl_tls_verified_security_options: tuple[str, ...]
    smtp_sasl_mechanism_filter: tuple[str, ...]
    smtp_sasl_auth_soft_bounce: bool
    smtp_sasl_auth_cache_name: str
    smtp_sasl_auth_cache_time: int

    # TLS
    smtp_tls_security_level: str
    smtp_use_tls: bool
    smtp_enforce_tls: bool
    smtp_tls_enforce_peername: bool
    smtp_tls_policy_maps: str
    smtp_tls_per_site: str
    smtp_tls_wrappermode: bool
    smtp_tls_CAfile: str
    smtp_tls_CApath: str
    tls_append_default_CA: bool
    smtp_tls_cert_file: str
    smtp_tls_key_file: str
    smtp_tls_eccert_file: str
    smtp_tls_eckey_file: str
    smtp_tls_chain_files: tuple[str, ...]
    tls_ssl_options: str
    smtp_tls_protocols: str
    smtp_tls_mandatory_protocols: str
    smtp_tls_ciphers: str
    smtp_tls_mandatory_ciphers: str
    smtp_tls_exclude_ciphers: tuple[str, ...]
    smtp_tls_mandatory_exclude_ciphers: tuple[str, ...]
    smtp_tls_servername: str
    smtp_tls_secure_cert_match: tuple[str, ...]
    smtp_tls_verify_cert_match: tuple[str, ...]
    smtp_tls_fingerprint_cert_match: tuple[str, ...]
    smtp_tls_fingerprint_digest: str
    smtp_tls_loglevel: str
    tls_dane_digests: tuple[str, ...]
    smtp_tls_session_cache_database: str
    smtp_tls_session_cache_timeout: int
    smtp_tls_note_starttls_offer: bool
