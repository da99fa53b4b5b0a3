"""smtp_delivery_status_filter and its kin: a table may say otherwise what an agent said of a recipient.

The key is the status and the reason as the log has them ("4.2.0 host … said: …"), and so is the value. What was
delivered stays delivered, and what was not stays not.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.tables.maps import Maps, open_maps
from posthouse.tables.table import TableRetry

STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?!\S)")
"""RFC 3463 section 2."""


@dataclass(frozen=True, slots=True)
class StatusFilterSettings:
    """One parameter for each kind of agent."""

    smtp_delivery_status_filter: str
    lmtp_delivery_status_filter: str
    local_delivery_status_filter: str
    pipe_delivery_status_filter: str
    virtual_delivery_status_filter: str


def open_status_filter(
    command: str, configuration: Configuration, warn: Callable[[str], None]
) -> "StatusFilter | None":
    """The filter of a service whose agent is `command`; None where there is none. Raises ConfigError."""
    settings = read_settings(StatusFilterSettings, configuration)
    value = {
        "smtp": settings.smtp_delivery_status_filter,
        "lmtp": settings.lmtp_delivery_status_filter,
        "local": settings.local_delivery_status_filter,
        "pipe": settings.pipe_delivery_status_filter,
        "virtual": settings.virtual_delivery_status_filter,
    }.get(command, "")
    return StatusFilter(open_maps(value, configuration, f"{command}_delivery_status_filter"), warn) if value else None


class StatusFilter:
    """The tables of one service."""

    def __init__(self, maps: Maps, warn: Callable[[str], None]) -> None:
        self._maps = maps
        self._warn = warn

    async def applied(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """The outcomes as the tables want them."""
        return [await self._one(outcome) for outcome in outcomes]

    async def _one(self, outcome: Outcome) -> Outcome:
        if outcome.parts:
            parts = tuple([await self._one(part) for part in outcome.parts])
            # The whole is what its worst part is, as it was before.
            same = [new for old, new in zip(outcome.parts, parts, strict=True) if old.dsn == outcome.dsn]
            kept = (same or parts)[-1]
            return replace(outcome, fate=kept.fate, dsn=kept.dsn, parts=parts)
        try:
            row = await self._maps.lookup(f"{outcome.dsn.status} {outcome.dsn.reason}")
        except TableRetry:
            return outcome  # the table's own warning tells
        if row is None:
            return outcome
        found = STATUS.match(row.value)
        delivered = outcome.fate is Fate.DELIVERED
        if found is None or (found[1] == "2") is not delivered:
            self._warn(f"{self._maps.title}: bad status code: {row.value}")
            return outcome
        fate = Fate.DELIVERED if delivered else Fate.BOUNCED if found[1] == "5" else Fate.DEFERRED
        dsn = outcome.dsn
        reason = row.value[found.end() :].strip()
        changed = Dsn(
            found[0], reason, dsn.action, dsn.diagnostic_type, dsn.diagnostic, dsn.remote_mta_type, dsn.remote_mta
        )
        return replace(outcome, fate=fate, dsn=changed)
