"""Where the content filter before the queue is, and how it is spoken to: smtpd_proxy_filter and its kin.

Errors: ConfigError from the parameters.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.net.stream import Stream

Connect = Callable[[str, float], Awaitable[Stream]]
"""Connects to "host:port", "inet:host:port" or "unix:path" within so many seconds. Raises OSError, StreamTimeout."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What is read."""

    smtpd_proxy_filter: str
    smtpd_proxy_timeout: int
    smtpd_proxy_ehlo: str
    smtpd_proxy_options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProxyFilter:
    """The filter of one listener."""

    name: str
    timeout: int
    ehlo: str
    late: bool
    """speed_adjust: it is connected to when the whole message has come."""
    connect: Connect
    origin: str = ""


def open_proxy_filter(configuration: Configuration, connect: Connect) -> ProxyFilter | None:
    """From main.cf and the service's overrides; None when there is no filter. Raises ConfigError."""
    settings = read_settings(ProxySettings, configuration)
    name, options = settings.smtpd_proxy_filter.strip(), settings.smtpd_proxy_options
    if not name:
        return None
    for word in options:
        if word != "speed_adjust":
            raise ConfigError(f'unknown smtpd_proxy_options value "{word}" in "{" ".join(options)}"')
    return ProxyFilter(
        name,
        settings.smtpd_proxy_timeout,
        settings.smtpd_proxy_ehlo,
        "speed_adjust" in options,
        connect,
        configuration.origin("smtpd_proxy_filter"),
    )
