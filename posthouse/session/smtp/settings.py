"""The main.cf parameters that an SMTP server session acts on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SmtpdSettings:
    """One listener's parameters; `-o` settings of its master.cf line are in them."""

    myhostname: str = "localhost"
    mail_name: str = "Postfix"
    smtpd_banner: str = "localhost ESMTP Postfix"
    smtpd_timeout: int = 300
    smtpd_starttls_timeout: int = 300
    smtpd_per_request_deadline: bool = False
    smtpd_min_data_rate: int = 500
    smtpd_helo_required: bool = False
    smtpd_error_sleep_time: int = 1
    smtpd_soft_error_limit: int = 10
    smtpd_hard_error_limit: int = 20
    smtpd_junk_command_limit: int = 100
    smtpd_history_flush_threshold: int = 100
    smtpd_recipient_limit: int = 1000
    smtpd_recipient_overshoot_limit: int = 1000
    line_length_limit: int = 2048
    message_size_limit: int = 10240000
    soft_bounce: bool = False
    strict_rfc821_envelopes: bool = False
    allow_min_user: bool = False
    smtputf8_enable: bool = True
    strict_smtputf8: bool = False
    disable_vrfy_command: bool = False
    inet_protocols: tuple[str, ...] = ("all",)
    smtpd_noop_commands: tuple[str, ...] = ()
    smtpd_discard_ehlo_keywords: tuple[str, ...] = ()
    smtpd_reject_footer: str = ""
    smtpd_forbid_unauth_pipelining: bool = False
    smtpd_upstream_proxy_protocol: str = ""
    smtpd_upstream_proxy_timeout: int = 5
    default_verp_delimiters: str = "+="
    verp_delimiter_filter: str = "-=+"
    smtpd_peername_lookup: bool = True
    smtpd_client_port_logging: bool = False
    smtpd_delay_open_until_valid_rcpt: bool = True
    enable_original_recipient: bool = True
    smtpd_tls_security_level: str = ""
    smtpd_use_tls: bool = False
    smtpd_enforce_tls: bool = False
    smtpd_tls_wrappermode: bool = False
    smtpd_tls_auth_only: bool = False
    smtpd_tls_received_header: bool = False
    smtpd_tls_loglevel: int = 0
    smtpd_sasl_auth_enable: bool = False
    smtpd_sasl_security_options: tuple[str, ...] = ("noanonymous",)
    smtpd_sasl_tls_security_options: tuple[str, ...] = ("noanonymous",)
    smtpd_sasl_authenticated_header: bool = False
    smtpd_sasl_response_limit: int = 12288
    broken_sasl_auth_clients: bool = False
    smtpd_client_connection_count_limit: int = 50
    smtpd_client_connection_rate_limit: int = 0
    smtpd_client_message_rate_limit: int = 0
    smtpd_client_recipient_rate_limit: int = 0
    smtpd_client_auth_rate_limit: int = 0
    smtpd_client_new_tls_session_rate_limit: int = 0
    anvil_rate_time_unit: int = 60

    @property
    def tls_offered(self) -> bool:
        """Whether STARTTLS is offered when there is a certificate."""
        level = self.smtpd_tls_security_level.lower()
        return level in ("may", "encrypt") if level else self.smtpd_use_tls or self.smtpd_enforce_tls

    @property
    def tls_required(self) -> bool:
        """Whether mail is taken over TLS only."""
        level = self.smtpd_tls_security_level.lower()
        return level == "encrypt" if level else self.smtpd_enforce_tls

    @property
    def has_ipv6(self) -> bool:
        """Whether addresses of IPv6 are known here."""
        return not {"all", "ipv6"}.isdisjoint(word.lower() for word in self.inet_protocols)

    @property
    def discarded(self) -> frozenset[str]:
        """EHLO keywords that are never announced, in upper case."""
        return frozenset(word.upper() for word in self.smtpd_discard_ehlo_keywords)
