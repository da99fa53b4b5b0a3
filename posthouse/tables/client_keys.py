"""Which keys a database is asked for, and how they are spelled.

Keys are folded to lower case; what is not UTF-8 is never asked for. The `domain` parameter lists the domains that a
table has rows for, in words as in mydestination: names (whole, in any case), /files, type:tables, each with ! before it
to leave it out. With a list, only addresses with a local part and a listed domain are asked for.

Standards: mysql_table(5), "domain".
"""

from collections.abc import Callable, Iterator

from posthouse.tables.fold import fold_key, is_utf8
from posthouse.tables.source_text import BLANKS, logical_lines, read_lines
from posthouse.tables.table import Table, TableError
from posthouse.tables.warning import warn
from posthouse.tables.words import split_words

DEPTH_LIMIT = 20
"""Files that name files: more than this is a circle."""


class DomainList:
    """Patterns in order; without any, every key is in."""

    __slots__ = ("_patterns",)

    def __init__(self, text: str, open_member: Callable[[str], Table]) -> None:
        """Opens the tables. Raises TableError."""
        self._patterns = list(_parse(text, open_member, negated=False, depth=0))

    async def covers(self, key: str) -> bool:
        """Whether the key may be asked for. Raises TableRetry."""
        if not self._patterns:
            return True
        local, at, domain = key.rpartition("@")
        if not at or not local:
            return False
        domain = fold_key(domain)
        for negated, name, table in self._patterns:
            if table is None:
                found = name == domain
            else:
                found = bool(domain) and await table.lookup(domain) is not None
            if found:
                return not negated
        return False

    def close(self) -> None:
        """Close the tables."""
        for _, _, table in self._patterns:
            if table is not None:
                table.close()


class ClientKeys:
    """The keys of one table."""

    __slots__ = ("_domains", "_fold", "_unicode")

    def __init__(self, domain: str, open_member: Callable[[str], Table], *, fold: bool, unicode: bool) -> None:
        """`domain`: the parameter. Raises TableError."""
        self._fold = fold
        self._unicode = unicode
        self._domains = DomainList(domain, open_member)

    async def admit(self, key: str) -> str | None:
        """The key as it is asked for, or None when it is not. Raises TableRetry."""
        # Without smtputf8_enable nobody has looked before; databases refuse other octets, and C ends at a NUL.
        if not is_utf8(key) or "\0" in key:
            return None
        if self._fold:
            key = fold_key(key, self._unicode)
        return key if await self._domains.covers(key) else None

    def close(self) -> None:
        """Close the tables of the domain list."""
        self._domains.close()


def _parse(
    text: str, open_member: Callable[[str], Table], *, negated: bool, depth: int
) -> Iterator[tuple[bool, str, Table | None]]:
    for word in split_words(text):
        bare = word.lstrip("!")
        turned = negated ^ ((len(word) - len(bare)) % 2 == 1)
        if bare.startswith("/"):
            if depth >= DEPTH_LIMIT:
                raise TableError(f"{bare}: files that name each other")
            try:
                lines = read_lines(bare)
            except OSError as error:
                raise TableError(f"open file {bare}: {error.strerror}") from error
            for line in logical_lines(lines, bare, warn):
                yield from _parse(line.text.strip(BLANKS), open_member, negated=turned, depth=depth + 1)
        elif ":" in bare and not bare.startswith("["):
            yield turned, bare, open_member(bare)
        elif bare:
            yield turned, fold_key(bare), None
