"""The main.cf parameters that an IMAP listener acts on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImapdSettings:
    """One listener's parameters; `-o` settings of its master.cf line are in them."""

    myhostname: str = "localhost"
    imapd_banner: str = "localhost ready"
    imapd_timeout: int = 1800
    imapd_append_limit: int = 10240000
    imapd_line_length_limit: int = 65536
    imapd_hard_error_limit: int = 20
    imapd_client_connection_count_limit: int = 50
    imapd_tls_security_level: str = ""
    imapd_tls_wrappermode: bool = False
    imapd_tls_auth_only: bool = True

    @property
    def tls_offered(self) -> bool:
        """Whether STARTTLS is offered when there is a certificate."""
        return self.imapd_tls_security_level.lower() in ("may", "encrypt")

    @property
    def tls_required(self) -> bool:
        """Whether nobody logs in without TLS."""
        return self.imapd_tls_auth_only or self.imapd_tls_security_level.lower() == "encrypt"


@dataclass(frozen=True, slots=True)
class ImapdTlsSettings:
    """The listener's own certificate, where it has one: whoever makes the TLS context reads them."""

    imapd_tls_cert_file: str
    imapd_tls_key_file: str
