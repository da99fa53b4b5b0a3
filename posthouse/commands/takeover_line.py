"""One thing that check-takeover says, and the configurations that it looks through."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service


class Line(NamedTuple):
    """One thing that is said. Levels: "ok", "note", "warning" (to look at), "stops" (mail would stop)."""

    level: str
    text: str


def scopes(configuration: Configuration, services: Sequence[Service]) -> Iterator[tuple[Configuration, set[str]]]:
    """main.cf with its names, then each service with its own."""
    yield configuration, set(configuration.names())
    for service in services:
        if service.overrides:
            yield configuration.with_overrides(service.overrides, f"master.cf:{service.line}"), set(service.overrides)


def why(error: Exception) -> str:
    """An error in a few words, without its number."""
    return getattr(error, "strerror", None) or str(error)
