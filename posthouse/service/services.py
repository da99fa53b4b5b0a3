"""A service of master.cf with its own view of the configuration."""

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.host.log import ProcessLog, Sink


def service_configuration(configuration: Configuration, service: Service) -> Configuration:
    """main.cf with the service's -o settings on top, and $service_name."""
    own = {"service_name": service.name, **service.overrides}
    return configuration.with_overrides(own, f"master.cf:{service.line}")


def service_log(configuration: Configuration, sink: Sink, program: str) -> ProcessLog:
    """The log of a program of one service: "postfix/submission/smtpd" by its syslog_name."""
    return ProcessLog(sink, f"{configuration.value('syslog_name')}/{program}")
