"""postalias: make, change and query alias databases. Manual: postalias(1) of Postfix 3.7."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from posthouse.commands.postmap import run
from posthouse.commands.postmap_options import Tool
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.tables.alias_text import alias_entries
from posthouse.tables.build import Build
from posthouse.tables.source_text import Entry
from posthouse.tables.warning import warn


@dataclass(frozen=True, slots=True)
class PostaliasSettings:
    """What is written into an alias database besides its rows."""

    myhostname: str


def _parse(lines: Iterable[str], path: str, utf8: bool) -> Iterator[Entry]:
    return alias_entries(lines, path, warn, utf8=utf8)


def _bookkeeping(build: Build, configuration: Configuration) -> None:
    """The rows that Sendmail's tools and NIS look for: that the table is whole, when and where it was made."""
    settings = read_settings(PostaliasSettings, configuration)
    build.rows.setdefault(b"@", b"@")
    build.rows[b"YP_LAST_MODIFIED"] = b"%d" % int(time.time())
    build.rows[b"YP_MASTER_NAME"] = settings.myhostname.encode()


POSTALIAS = Tool(
    name="postalias",
    usage="postalias [-Nfinoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file...",
    options="c:d:finNopq:rsuvw",
    parse=_parse,
    separator=":\t",
    bookkeeping=_bookkeeping,
)


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    return run(POSTALIAS, arguments)
