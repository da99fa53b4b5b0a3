"""The parameters that pop3d reads, in main.cf's spelling.

The smtpd_ ones hold for every listener: TLS's deadline and how much of it is logged.
"""

from dataclasses import dataclass

from posthouse.config.error import ConfigError

TLS_LEVELS = ("", "none", "may", "encrypt")


@dataclass(frozen=True, slots=True)
class Pop3dSettings:
    """What one POP3 listener was told."""

    pop3d_banner: str = "mail.example ready"
    pop3d_client_connection_count_limit: int = 10
    pop3d_hard_error_limit: int = 10
    pop3d_line_length_limit: int = 255
    pop3d_timeout: int = 600
    pop3d_tls_auth_only: bool = True
    pop3d_tls_security_level: str = ""
    pop3d_tls_wrappermode: bool = False
    myhostname: str = "mail.example"
    smtpd_starttls_timeout: int = 300
    smtpd_tls_loglevel: int = 0

    def __post_init__(self) -> None:
        if self.pop3d_tls_security_level.lower() not in TLS_LEVELS:
            raise ConfigError(f'invalid TLS level "{self.pop3d_tls_security_level}": pop3d_tls_security_level')

    @property
    def tls_offered(self) -> bool:
        """Whether STLS is wanted."""
        return not self.pop3d_tls_wrappermode and self.pop3d_tls_security_level.lower() in ("may", "encrypt")

    @property
    def tls_required(self) -> bool:
        """Whether only CAPA, STLS, NOOP and QUIT may come in plain text."""
        return self.pop3d_tls_wrappermode or self.pop3d_tls_security_level.lower() == "encrypt"


@dataclass(frozen=True, slots=True)
class Pop3dTlsSettings:
    """The listener's own certificate: whoever makes the TLS context reads them, while still root."""

    pop3d_tls_cert_file: str
    pop3d_tls_key_file: str
