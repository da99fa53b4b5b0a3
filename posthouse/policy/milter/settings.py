"""What milters are asked with: the parameters of milter(5)'s counterpart in main.cf."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MilterSettings:
    """The parameters that are the same for every list of milters."""

    queue_directory: str
    milter_connect_timeout: int
    milter_command_timeout: int
    milter_content_timeout: int
    milter_protocol: str
    milter_default_action: str
    milter_macro_daemon_name: str
    milter_macro_v: str
    milter_macro_defaults: str
    milter_connect_macros: tuple[str, ...]
    milter_helo_macros: tuple[str, ...]
    milter_mail_macros: tuple[str, ...]
    milter_rcpt_macros: tuple[str, ...]
    milter_data_macros: tuple[str, ...]
    milter_end_of_header_macros: tuple[str, ...]
    milter_end_of_data_macros: tuple[str, ...]
    milter_unknown_command_macros: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SmtpdMilterSettings:
    """Whose mail smtpd has filtered."""

    smtpd_milters: str
    smtpd_milter_maps: str
    receive_override_options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LocalMilterSettings:
    """What filters mail that did not come by SMTP."""

    non_smtpd_milters: str
    receive_override_options: tuple[str, ...]
