"""check-takeover: whether the tables that a configuration names can be opened."""

import asyncio
from collections.abc import Sequence

from posthouse.commands.takeover_line import Line, scopes, why
from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.check_files import table_words
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service

SERVERS = {"ldap", "memcache", "mysql", "pgsql"}
"""Types whose source is a file about a server."""

PROBE = "posthouse-check-takeover.invalid"
"""What SQLite is asked, to see whether the file has the tables that its query names."""


def table_lines(configuration: Configuration, services: Sequence[Service]) -> dict[str, Line]:
    """A line for each table, by the word that names it, with all parameters that do."""
    users: dict[str, list[str]] = {}
    said: dict[str, tuple[str, str]] = {}
    for own, names in scopes(configuration, services):
        classes = own.words("smtpd_restriction_classes")
        for name in sorted(names):
            if name not in PARAMETERS and name not in classes:
                continue
            for word in table_words(own, name):
                kind, colon, _ = word.strip("{} ").removeprefix("proxy:").partition(":")
                if not word.startswith("/") and (not colon or not kind.isalnum()):
                    continue
                if word not in said:
                    said[word] = _try(own, word, kind)
                if name not in users.setdefault(word, []):
                    users[word].append(name)
    return {word: Line(level, f"{', '.join(users[word])}: {word}: {text}") for word, (level, text) in said.items()}


def _try(own: Configuration, word: str, kind: str) -> tuple[str, str]:
    from posthouse.tables.open import SUSPENDING, open_now, opening, split_spec
    from posthouse.tables.table import TableError, TableRetry

    try:
        if word.startswith("/"):
            with open(word, encoding="utf-8", errors="surrogateescape") as file:
                return "ok", f"{sum(not line.isspace() for line in file)} lines"
        how = opening(own)
        if kind in SUSPENDING and kind not in SERVERS and kind != "sqlite":
            return "note", "a server; asked when it is needed"
        table = open_now(":".join(split_spec(word, how.default_type)), how)
        if kind in SERVERS:
            return "note", "its file can be read; a server, asked when it is needed"
        if kind == "sqlite":
            asyncio.run(_ask(table.lookup(PROBE)))
        return "ok", "opens"
    except (ConfigError, TableError, TableRetry, OSError, ValueError) as error:
        return "stops", why(error).removeprefix(f"{word}: ")


async def _ask(lookup: object) -> None:
    from collections.abc import Awaitable

    assert isinstance(lookup, Awaitable)
    await lookup
