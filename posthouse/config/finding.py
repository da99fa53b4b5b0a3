"""What a check of the configuration found."""

from typing import NamedTuple

from posthouse.config.configuration import Configuration


class Finding(NamedTuple):
    """One thing to mend ("error": nothing starts) or to look at ("warning"), and where it is.

    Line 0: the file as a whole; file "": no file says so, it is a default.
    """

    level: str
    file: str
    line: int
    parameter: str
    text: str


def found(configuration: Configuration, level: str, parameter: str, text: str) -> Finding:
    """A finding about a parameter, at the place that sets it."""
    name, _, line = configuration.origin(parameter).partition(":")
    if name == "default":
        return Finding(level, "", 0, parameter, text)
    return Finding(level, f"{configuration.directory}/{name}", int(line or 0), parameter, text)
