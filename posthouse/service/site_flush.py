"""ETRN: what waits for a site is tried again, where fast_flush_domains has the site.

Standards: RFC 1985 section 5.
"""

from posthouse.config.configuration import Configuration
from posthouse.schedule.control import QueueControl
from posthouse.tables.match_list import open_match_list
from posthouse.tables.table import TableRetry


class SiteFlush:
    """Starts deliveries to sites, of the shards of this worker."""

    def __init__(self, configuration: Configuration, control: QueueControl) -> None:
        self._sites = open_match_list(configuration.value("fast_flush_domains"), configuration, "fast_flush_domains")
        self._control = control

    async def start(self, site: str) -> bool | None:
        """True when they were started, False when nobody could say whether they may, None for a site that has none."""
        try:
            if await self._sites.matches(site.strip("[]")) is None:
                return None
        except TableRetry:
            return False
        await self._control.flush(site=site)
        return True
