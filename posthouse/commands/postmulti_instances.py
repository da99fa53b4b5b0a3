"""The instances of this machine: the primary one, and those its multi_instance_directories names."""

import os
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.read import read_configuration
from posthouse.config.settings import read_settings


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """What an instance manager has to know of each."""

    multi_instance_name: str
    multi_instance_group: str
    multi_instance_enable: bool
    multi_instance_wrapper: str
    multi_instance_directories: tuple[str, ...]
    command_directory: str
    daemon_directory: str
    queue_directory: str
    data_directory: str
    postmulti_start_commands: tuple[str, ...]
    postmulti_stop_commands: tuple[str, ...]
    postmulti_control_commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """One of them."""

    directory: str
    settings: InstanceSettings
    primary: bool
    enabled: bool

    @property
    def name(self) -> str:
        """Its name, "" for none."""
        return self.settings.multi_instance_name

    @property
    def group(self) -> str:
        """Its group, "" for none."""
        return self.settings.multi_instance_group

    def listing(self) -> str:
        """Its line of postmulti -l."""
        return f"{self.name or '-':<15} {self.group or '-':<15} {'y' if self.enabled else 'n':<9} {self.directory}"

    def environment(self) -> dict[str, str]:
        """What a command that works on it is told."""
        settings = self.settings
        return {
            "MAIL_CONFIG": self.directory,
            "command_directory": settings.command_directory,
            "daemon_directory": settings.daemon_directory,
            "config_directory": self.directory,
            "queue_directory": settings.queue_directory,
            "data_directory": settings.data_directory,
            "multi_instance_name": self.name,
            "multi_instance_group": self.group,
            "multi_instance_enable": "yes" if self.enabled else "no",
        }

    def is_called(self, name: str) -> bool:
        """Whether -i NAME means this one: its name or folder, "-" for the primary."""
        return self.primary if name == "-" else name in (self.name, self.directory)


def read_instances(primary: str) -> list[Instance]:
    """The primary instance and the others, in order. Raises ConfigError."""
    first = read_settings(InstanceSettings, read_configuration(primary))
    # With no other instance there is nothing to manage, and the one is as enabled as without a manager.
    enabled = first.multi_instance_enable or not first.multi_instance_directories
    instances = [Instance(primary, first, primary=True, enabled=enabled)]
    for directory in first.multi_instance_directories:
        instances.append(read_instance(directory))
        require_apart(instances[-1], instances[:-1])
    return instances


def read_instance(directory: str) -> Instance:
    """A secondary instance. Raises ConfigError."""
    try:
        configuration: Configuration = read_configuration(directory)
    except ConfigError as error:
        text = f"Failed to obtain all required {directory}/main.cf parameters"
        raise ConfigError(text, warnings=(error.text,)) from error
    settings = read_settings(InstanceSettings, configuration)
    return Instance(directory, settings, primary=False, enabled=settings.multi_instance_enable)


def require_apart(instance: Instance, others: list[Instance]) -> None:
    """Refuse two instances with one name, queue or data directory. Raises ConfigError."""
    for other in others:
        for name in ("multi_instance_name", "queue_directory", "data_directory"):
            mine = getattr(instance.settings, name)
            if mine and os.path.normpath(mine) == os.path.normpath(getattr(other.settings, name)):
                raise ConfigError(
                    f"instance {instance.directory}, {name}={mine}"
                    f" conflicts with instance {other.directory}, {name}={mine}"
                )
