"""Defaults found out from the machine: its name, its domain, its networks."""

import os

from posthouse.config.interfaces import default_networks
from posthouse.config.values import Values

DEFAULT_DOMAIN = "localdomain"


def computed_default(name: str, configuration: Values) -> str:
    """The default of one of the names that depend on machine or place."""
    if name == "config_directory":
        return configuration.directory
    if name == "process_id":
        return str(os.getpid())
    if name == "process_name":
        return "posthouse"
    if name == "myhostname":
        host = os.uname().nodename
        if "." in host:
            return host
        domain = configuration.value("mydomain") if configuration.is_set("mydomain") else DEFAULT_DOMAIN
        return f"{host}.{domain}"
    if name == "mydomain":
        return configuration.value("myhostname").partition(".")[2] or DEFAULT_DOMAIN
    return default_networks(configuration)
