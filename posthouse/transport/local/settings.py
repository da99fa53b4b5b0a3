"""What local(8) reads of main.cf: the agent in the mail worker, and the hands that work for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """For the agent: who is meant, and where their mail is passed on."""

    alias_maps: str
    recipient_delimiter: str
    expand_owner_alias: bool
    owner_request_special: bool
    reset_owner_alias: bool
    propagate_unmatched_extensions: tuple[str, ...]
    mailbox_transport: str
    mailbox_transport_maps: str
    fallback_transport: str
    fallback_transport_maps: str
    luser_relay: str
    local_recipient_maps: str
    mydomain: str
    myhostname: str
    mail_name: str
    myorigin: str
    prepend_delivered_header: tuple[str, ...]
    mailbox_command: str
    home_mailbox: str
    mail_spool_directory: str
    mailbox_size_limit: int
    message_size_limit: int


@dataclass(frozen=True, slots=True)
class UserSettings:
    """For the hands: how a user's mail is put away."""

    alias_maps: str
    allow_mail_to_commands: tuple[str, ...]
    allow_mail_to_files: tuple[str, ...]
    command_execution_directory: str
    command_expansion_filter: str
    command_time_limit: int
    default_privs: str
    deliver_lock_attempts: int
    deliver_lock_delay: int
    execution_directory_expansion_filter: str
    export_environment: tuple[str, ...]
    import_environment: tuple[str, ...]
    forward_expansion_filter: str
    forward_path: str
    home_mailbox: str
    local_command_shell: str
    mail_spool_directory: str
    mailbox_command: str
    mailbox_command_maps: str
    mailbox_delivery_lock: tuple[str, ...]
    mailbox_size_limit: int
    prepend_delivered_header: tuple[str, ...]
    queue_directory: str
    recipient_delimiter: str
    require_home_directory: bool
    stale_lock_time: int
    strict_mailbox_ownership: bool
