"""The parameters that restriction lists read, of one smtpd service."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListSettings:
    """Which lists there are and when they run."""

    smtpd_client_restrictions: tuple[str, ...]
    smtpd_helo_restrictions: tuple[str, ...]
    smtpd_sender_restrictions: tuple[str, ...]
    smtpd_relay_restrictions: tuple[str, ...]
    smtpd_recipient_restrictions: tuple[str, ...]
    smtpd_data_restrictions: tuple[str, ...]
    smtpd_end_of_data_restrictions: tuple[str, ...]
    smtpd_etrn_restrictions: tuple[str, ...]
    smtpd_restriction_classes: tuple[str, ...]
    smtpd_delay_reject: bool
    smtpd_relay_before_recipient_restrictions: bool
    smtpd_reject_unlisted_recipient: bool
    smtpd_reject_unlisted_sender: bool


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """Codes, keys and lists that single restrictions read."""

    mynetworks: str
    smtpd_proxy_filter: str
    reject_code: int
    defer_code: int
    access_map_reject_code: int
    access_map_defer_code: int
    invalid_hostname_reject_code: int
    maps_rbl_reject_code: int
    multi_recipient_bounce_reject_code: int
    non_fqdn_reject_code: int
    plaintext_reject_code: int
    relay_domains_reject_code: int
    allow_untrusted_routing: bool
    unknown_address_reject_code: int
    unknown_client_reject_code: int
    unknown_hostname_reject_code: int
    unknown_address_tempfail_action: str
    unknown_helo_hostname_tempfail_action: str
    default_rbl_reply: str
    rbl_reply_maps: str
    parent_domain_matches_subdomains: tuple[str, ...]
    recipient_delimiter: str
    smtpd_null_access_lookup_key: str
    smtpd_sasl_auth_enable: bool
    smtpd_sender_login_maps: str


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """Client certificates as credentials."""

    relay_clientcerts: str
    smtpd_tls_ask_ccert: bool
    smtpd_tls_req_ccert: bool
    smtpd_tls_fingerprint_digest: str


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """Address verification."""

    unverified_recipient_defer_code: int
    unverified_recipient_reject_code: int
    unverified_recipient_reject_reason: str
    unverified_recipient_tempfail_action: str
    unverified_sender_defer_code: int
    unverified_sender_reject_code: int
    unverified_sender_reject_reason: str
    unverified_sender_tempfail_action: str


@dataclass(frozen=True, slots=True)
class DelegationSettings:
    """check_policy_service; each can be overridden in `{ server, name = value, … }`."""

    queue_directory: str
    smtpd_policy_service_default_action: str
    smtpd_policy_service_max_idle: int
    smtpd_policy_service_max_ttl: int
    smtpd_policy_service_policy_context: str
    smtpd_policy_service_request_limit: int
    smtpd_policy_service_retry_delay: int
    smtpd_policy_service_timeout: int
    smtpd_policy_service_try_limit: int
    smtpd_tls_fingerprint_digest: str
