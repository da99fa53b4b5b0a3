"""Workarounds for firewalls of the PIX kind: which a server behind one gets.

Such a firewall is known by its greeting, in which stars stand for what it hides. smtp_pix_workaround_maps, asked for
the server's address, goes before smtp_pix_workarounds; disable_esmtp says HELO, delay_dotcrlf waits before the final
dot, for mail that has been queued for smtp_pix_workaround_threshold_time.

Standards: none; Postfix smtp(8).
"""

from collections.abc import Callable

from posthouse.host.log import ProcessLog
from posthouse.tables.table import TableRetry
from posthouse.transport.smtp.lookups import LookupMaps
from posthouse.transport.smtp.settings import SmtpSettings
from posthouse.wire.smtp.reply import Reply

KNOWN = ("disable_esmtp", "delay_dotcrlf")
NONE: frozenset[str] = frozenset()


def is_pix(greeting: Reply) -> bool:
    """Whether a greeting is one of such a firewall: stars, and digits of 220."""
    return not "\n".join(greeting.lines()).strip("20 *\t\n")


class Pix:
    """The workarounds of one transport."""

    def __init__(
        self, settings: SmtpSettings, maps: LookupMaps | None, log: ProcessLog, time: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._maps = maps
        self._log = log
        self._time = time

    async def workarounds(self, address: str, relay: str, queue_id: str, arrival_time: float) -> frozenset[str]:
        """What a server that greeted so gets."""
        words = " ".join(self._settings.smtp_pix_workarounds)
        if self._maps is not None:
            try:
                row = await self._maps.lookup(address)
            except TableRetry:
                row = None
            if row is not None and row.value:
                words = row.value
        wanted = [word for word in KNOWN if word in words.lower().replace(",", " ").split()]
        if self._time() - arrival_time < self._settings.smtp_pix_workaround_threshold_time:
            wanted = [word for word in wanted if word != "delay_dotcrlf"]
        if wanted:
            self._log.info(f"{queue_id}: enabling PIX workarounds: {' '.join(wanted)} for {relay}")
        return frozenset(wanted)
