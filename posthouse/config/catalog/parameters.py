"""The whole catalog: every parameter of Postfix 3.7, those that 3.8 to 3.12 added, and our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from posthouse.config.catalog.rows import ROWS
from posthouse.config.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import, and every command starts here
    from typing import Any

FAMILIES = (
    "bounce",
    "cleanup",
    "general",
    "lmtp",
    "local",
    "milter",
    "postscreen",
    "process",
    "qmqpd",
    "queue",
    "routing",
    "smtp",
    "smtpd",
    "system",
    "tls",
    "tlsproxy",
    "verify",
    "virtual",
)
"""Families that Postfix 3.7 knows; `postconf -d` lists these."""

ADDED_FAMILIES = ("newer", "posthouse")
"""Families known when set, and not listed by `postconf -d`."""


class Catalog(Mapping[str, Parameter]):
    """Parameters by name. A Parameter is made when it is asked for: a command asks for a few of nine hundred."""

    def __init__(self, *families: str) -> None:
        self._rows: dict[str, tuple[str, str, str, int, int]] = {}
        self._families: list[tuple[str, Mapping[str, object]]] = []
        self._made: dict[str, Parameter] = {}
        for family, rows in ROWS:
            if family in families:
                named = {row[0]: row for row in rows}
                self._rows.update(named)
                self._families.append((family, named))

    def __getitem__(self, name: str) -> Parameter:
        found: Parameter | None = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """The parameter of this name, or the default."""
        made = self._made.get(name)
        if made is not None:
            return made
        row = self._rows.get(name)
        if row is None:
            return default
        family = next(family for family, names in self._families if name in names)
        made = self._made[name] = Parameter(*row, family)
        return made

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


POSTFIX_PARAMETERS = Catalog(*FAMILIES)
"""The built-in parameters of Postfix 3.7, by name."""

PARAMETERS = Catalog(*FAMILIES, *ADDED_FAMILIES)
"""Every parameter known here, by name."""
