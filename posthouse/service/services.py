"""A service of master.cf with its own view of the configuration."""

from collections.abc import Sequence

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service
from posthouse.host.log import ProcessLog, Sink


def service_configuration(configuration: Configuration, service: Service) -> Configuration:
    """main.cf with the service's -o settings on top, and $service_name."""
    own = {"service_name": service.name, **service.overrides}
    return configuration.with_overrides(own, f"master.cf:{service.line}")


CLEANUP = "cleanup"
"""The cleanup service of those that name none; a master.cf may go without its line."""

NOT_CLEANUPS = frozenset({"service_name", "syslog_name", "content_filter", "receive_override_options"})
"""What a door tells cleanup(8) by itself, or says of itself: a cleanup line's setting of these is not read there."""


def cleanup_service(configuration: Configuration, services: Sequence[Service]) -> Service | None:
    """The line of master.cf that a service's cleanup_service_name means; None when it is the usual one and there is
    none. ConfigError when nobody has the name: Postfix's service would wait for it."""
    name = configuration.value("cleanup_service_name")
    for service in services:
        if service.command == CLEANUP and service.name == name:
            return service
    if name == CLEANUP:
        return None
    raise ConfigError(f"cleanup_service_name = {name}: master.cf has no cleanup service of that name")


def behind_cleanup(configuration: Configuration, service: Service | None) -> Configuration:
    """The settings of a door whose mail goes through that cleanup: the -o settings of both, cleanup's first."""
    if service is None:
        return configuration
    own = {name: value for name, value in service.overrides.items() if name not in NOT_CLEANUPS}
    return configuration.with_overrides(own, f"master.cf:{service.line}") if own else configuration


def require_no_words(service: Service) -> None:
    """Words behind a daemon's options mean nothing to it: most often a value of -o with blanks. Raises ConfigError."""
    for word in service.arguments:
        if not word.startswith("-"):
            raise ConfigError(f"unexpected command-line argument: {word}")


def service_log(configuration: Configuration, sink: Sink, program: str) -> ProcessLog:
    """The log of a program of one service: "postfix/submission/smtpd" by its syslog_name."""
    return ProcessLog(sink, f"{configuration.value('syslog_name')}/{program}")
