"""The milters of one service: opened once from its configuration, begun for each session.

    smtpd_milters, smtpd_milter_maps    what comes by SMTP; DISABLE for a client means none
    non_smtpd_milters                   what users submit on this machine, and internal_mail_filter_classes

Errors: ConfigError from the lists.
"""

from collections.abc import Callable
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.policy.milter.chain import Chain
from posthouse.policy.milter.connection import MilterConnection
from posthouse.policy.milter.endpoint import Endpoint, parse_milters
from posthouse.policy.milter.macros import MacroNames, Value
from posthouse.policy.milter.settings import LocalMilterSettings, MilterSettings, SmtpdMilterSettings
from posthouse.policy.reach import Reach, reach
from posthouse.tables.maps import Maps, open_maps
from posthouse.tables.table import TableRetry


@dataclass(frozen=True, slots=True)
class Milters:
    """A list of milters and what they are asked with."""

    endpoints: tuple[Endpoint, ...]
    macros: MacroNames
    settings: MilterSettings
    open_stream: Reach

    def begin(self, value: Value, warn: Callable[[str], None]) -> Chain:
        """For one session; nothing is connected to yet."""
        chain = Chain([], value, warn)
        chain.connections = [
            MilterConnection(endpoint, self.macros, self.open_stream, lambda text: chain.warn(text))
            for endpoint in self.endpoints
        ]
        return chain


@dataclass(frozen=True, slots=True)
class SmtpdMilters:
    """Which milters the sessions of one listener have."""

    milters: Milters | None
    maps: Maps | None
    read: Callable[[str], Milters | None]
    """Opens the milters that a row of smtpd_milter_maps names."""

    async def for_client(self, address: str) -> Milters | None:
        """Those of one client. A table that cannot be asked changes nothing."""
        try:
            row = None if self.maps is None else await self.maps.lookup(address)
        except TableRetry:
            return self.milters
        if row is None:
            return self.milters
        return None if row.value.strip().upper() == "DISABLE" else self.read(row.value)


def open_milters(
    configuration: Configuration, value: str, parameter: str, *, chroot: bool = False, open_stream: Reach | None = None
) -> Milters | None:
    """The milters of a list; None when it is empty. Raises ConfigError."""
    settings = read_settings(MilterSettings, configuration)
    endpoints = parse_milters(value, settings, parameter, configuration.origin(parameter))
    if not endpoints:
        return None
    connects = open_stream or reach(settings.queue_directory, chroot=chroot)
    return Milters(endpoints, MacroNames.read(settings), settings, connects)


def open_smtpd_milters(
    configuration: Configuration, *, chroot: bool = False, open_stream: Reach | None = None
) -> SmtpdMilters | None:
    """What a listener has filtered; None when nothing is."""
    settings = read_settings(SmtpdMilterSettings, configuration)
    if "no_milters" in settings.receive_override_options:
        return None
    if not settings.smtpd_milters.strip() and not settings.smtpd_milter_maps.strip():
        return None

    def read(value: str, parameter: str = "smtpd_milter_maps") -> Milters | None:
        return open_milters(configuration, value, parameter, chroot=chroot, open_stream=open_stream)

    maps = settings.smtpd_milter_maps
    return SmtpdMilters(
        read(settings.smtpd_milters, "smtpd_milters"),
        open_maps(maps, configuration, "smtpd_milter_maps") if maps.strip() else None,
        read,
    )


def open_local_milters(
    configuration: Configuration, *, chroot: bool = False, open_stream: Reach | None = None
) -> Milters | None:
    """What mail that did not come by SMTP is filtered by; None when it is not."""
    settings = read_settings(LocalMilterSettings, configuration)
    if "no_milters" in settings.receive_override_options:
        return None
    return open_milters(
        configuration, settings.non_smtpd_milters, "non_smtpd_milters", chroot=chroot, open_stream=open_stream
    )
