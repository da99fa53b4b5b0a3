"""The main.cf parameters that postscreen acts on.

Three depend on stress: each is read twice, without and with stress=yes. Older names (blacklist, whitelist) are read
through the defaults of the newer ones, as in Postfix.

Standards: postscreen(8), postconf(5).
"""

from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.session.postscreen.action import Act, parse_action
from posthouse.session.postscreen.trials import BARE_NEWLINE, NON_SMTP, PIPELINING

TLS_LEVELS = ("", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure")


@dataclass(frozen=True, slots=True)
class PostscreenSettings:
    """One listener's parameters; `-o` settings of its master.cf line are in them."""

    myhostname: str = "localhost"
    mail_name: str = "Postfix"
    smtpd_banner: str = "localhost ESMTP Postfix"
    smtpd_service_name: str = "smtpd"
    line_length_limit: int = 2048
    message_size_limit: int = 10240000
    delay_logging_resolution_limit: int = 2
    respectful_logging: bool = True
    soft_bounce: bool = False
    smtputf8_enable: bool = True
    postscreen_upstream_proxy_protocol: str = ""
    postscreen_upstream_proxy_timeout: int = 5
    postscreen_client_connection_count_limit: int = 50
    postscreen_pre_queue_limit: int = 100
    postscreen_post_queue_limit: int = 100
    postscreen_denylist_action: str = "ignore"
    postscreen_greet_banner: str = "localhost ESMTP Postfix"
    postscreen_greet_action: str = "ignore"
    postscreen_greet_ttl: int = 86400
    postscreen_dnsbl_sites: str = ""
    postscreen_dnsbl_action: str = "ignore"
    postscreen_dnsbl_threshold: int = 1
    postscreen_dnsbl_allowlist_threshold: int = 0
    postscreen_dnsbl_min_ttl: int = 60
    postscreen_dnsbl_max_ttl: int = 3600
    postscreen_dnsbl_timeout: int = 10
    postscreen_pipelining_enable: bool = False
    postscreen_pipelining_action: str = "enforce"
    postscreen_pipelining_ttl: int = 2592000
    postscreen_non_smtp_command_enable: bool = False
    postscreen_non_smtp_command_action: str = "drop"
    postscreen_non_smtp_command_ttl: int = 2592000
    postscreen_bare_newline_enable: bool = False
    postscreen_bare_newline_action: str = "ignore"
    postscreen_bare_newline_ttl: int = 2592000
    postscreen_command_count_limit: int = 20
    postscreen_helo_required: bool = False
    postscreen_disable_vrfy_command: bool = False
    postscreen_discard_ehlo_keywords: tuple[str, ...] = ()
    postscreen_tls_security_level: str = ""
    postscreen_use_tls: bool = False
    postscreen_enforce_tls: bool = False
    postscreen_starttls_timeout: int = 300
    postscreen_tls_loglevel: int = 0
    postscreen_cache_cleanup_interval: int = 43200
    postscreen_cache_retention_time: int = 604800

    @property
    def tls_offered(self) -> bool:
        """Whether STARTTLS is offered when there is a certificate."""
        level = self.postscreen_tls_security_level.lower()
        return level != "none" if level else self.postscreen_use_tls or self.postscreen_enforce_tls

    @property
    def tls_required(self) -> bool:
        """Whether mail is taken over TLS only."""
        level = self.postscreen_tls_security_level.lower()
        return level not in ("none", "may") if level else self.postscreen_enforce_tls


@dataclass(frozen=True, slots=True)
class PatienceSettings:
    """What is shorter under stress."""

    postscreen_greet_wait: int = 6
    postscreen_command_time_limit: int = 300


@dataclass(frozen=True, slots=True)
class PostscreenTables:
    """The lists and tables of a listener, and what stands unexpanded."""

    postscreen_access_list: str
    postscreen_allowlist_interfaces: str
    postscreen_cache_map: str
    postscreen_command_filter: str
    postscreen_discard_ehlo_keyword_address_maps: str
    postscreen_dnsbl_reply_map: str
    postscreen_expansion_filter: str
    postscreen_forbidden_commands: str
    postscreen_reject_footer: str
    postscreen_reject_footer_maps: str
    mynetworks: str


@dataclass(frozen=True, slots=True)
class Actions:
    """What becomes of a client that fails a test."""

    denylist: Act
    greet: Act
    dnsbl: Act
    deep: dict[int, Act]


def read_postscreen(configuration: Configuration) -> PostscreenSettings:
    """The settings, checked. Raises ConfigError in Postfix's words."""
    settings = read_settings(PostscreenSettings, configuration)
    protocol = settings.postscreen_upstream_proxy_protocol
    if protocol not in ("", "haproxy"):
        raise ConfigError(f"unsupported postscreen_upstream_proxy_protocol value: {protocol}")
    level = settings.postscreen_tls_security_level
    if level.lower() not in TLS_LEVELS:
        raise ConfigError(f'Invalid TLS level "{level}"')
    return settings


def read_patience(configuration: Configuration, *, stress: bool) -> PatienceSettings:
    """What holds now, or under stress."""
    if stress:
        configuration = configuration.with_overrides({"stress": "yes"}, "stress")
    return read_settings(PatienceSettings, configuration)


def read_actions(settings: PostscreenSettings) -> Actions:
    """Raises ConfigError in Postfix's words."""

    def action(name: str) -> Act:
        parameter = f"postscreen_{name}_action"
        return parse_action(parameter, getattr(settings, parameter))

    deep = {
        PIPELINING: action("pipelining"),
        NON_SMTP: action("non_smtp_command"),
        BARE_NEWLINE: action("bare_newline"),
    }
    return Actions(action("denylist"), action("greet"), action("dnsbl"), deep)
