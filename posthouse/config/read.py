"""The configuration of a folder: its main.cf over the built-in defaults."""

import os

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.main_cf import read_main_cf

DEFAULT_DIRECTORY = "/etc/postfix"


def read_configuration(directory: str) -> Configuration:
    """The configuration of a folder. ConfigError when main.cf cannot be read or is broken."""
    main = read_main_cf(f"{directory}/main.cf")
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for entry in main.entries:
        values[entry.name] = entry.value
        origins[entry.name] = f"main.cf:{entry.line}"
    values["config_directory"] = directory
    origins["config_directory"] = "default"
    return Configuration(directory, values, origins, tuple(main.warnings))


def configuration_directory(option: str | None = None, environment: str | None = None) -> str:
    """The folder a command works on: its -c option, else MAIL_CONFIG, else /etc/postfix.

    A caller who is not root may name another folder only where it can do no harm: commands
    that run with more rights than their caller must call `require_known_directory` too.
    """
    # An empty name is one too, as it is Postfix's: that of the root.
    for named in (option, environment, os.environ.get("MAIL_CONFIG")):
        if named is not None:
            return named
    return DEFAULT_DIRECTORY


def require_known_directory(directory: str, default: str = DEFAULT_DIRECTORY) -> None:
    """Refuse a folder that the default main.cf does not name, as Postfix's privileged commands do."""
    if directory == default:
        return
    main = read_main_cf(f"{default}/main.cf")
    known: set[str] = set()
    for entry in main.entries:
        if entry.name in {"alternate_config_directories", "multi_instance_directories"}:
            known.update(entry.value.replace(",", " ").split())
    if directory not in known:
        raise ConfigError(f"unknown configuration directory name: {directory}")
