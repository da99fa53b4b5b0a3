"""What intake reads from main.cf (and from a service's -o)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CleanupSettings:
    """The parameters of cleanup(8) that act here."""

    myhostname: str
    queue_directory: str
    message_size_limit: int
    header_size_limit: int
    header_address_token_limit: int
    queue_minfree: int
    hopcount_limit: int
    always_add_missing_headers: bool
    remote_header_rewrite_domain: str
    header_from_format: str
    undisclosed_recipients_header: str
    message_drop_headers: tuple[str, ...]
    enable_long_queue_ids: bool
    enable_original_recipient: bool
    duplicate_filter_limit: int
    empty_address_recipient: str
    canonical_classes: tuple[str, ...]
    sender_canonical_classes: tuple[str, ...]
    recipient_canonical_classes: tuple[str, ...]
    header_checks: str
    mime_header_checks: str
    nested_header_checks: str
    body_checks: str
    milter_header_checks: str
    always_bcc: str
    sender_bcc_maps: str
    recipient_bcc_maps: str
    content_filter: str
    receive_override_options: tuple[str, ...]
    internal_mail_filter_classes: tuple[str, ...]
