"""Lists of patterns for domains, hosts and addresses, as mydestination, relay_domains and mynetworks are written.

    example.com            the name; and names below it where the parameter is in parent_domain_matches_subdomains
    .example.com           names below it, where it is not
    1.2.3.4  1.2.3.0/24    addresses; IPv6 in brackets: [::1]  [2001:db8::]/32
    type:table             a key of the table: the name (then its parents), or the address
    /file/name             the patterns in that file
    !pattern               what it matches does not belong

The first pattern that matches decides. In a list of clients (mynetworks and its like) a table row whose value
begins with REJECT also means "does not belong": courses write such rows, and the safe reading is the one they mean.

Standards: postconf(5) "mydestination", "mynetworks", "parent_domain_matches_subdomains".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.tables.cidr import BadNetwork, Network, parse_address, parse_network
from posthouse.tables.fold import fold_key
from posthouse.tables.open import open_table
from posthouse.tables.source_text import BLANKS, logical_lines, read_lines
from posthouse.tables.table import Table, TableRetry
from posthouse.tables.warning import speaker, warn
from posthouse.tables.words import split_words

DEPTH_LIMIT = 20
"""Files that name files: more than this is a circle."""
REFUSAL = "REJECT"
KNOWN = 1000
"""Answers remembered of a list without tables: the same clients and domains come all day."""


@dataclass(frozen=True, slots=True)
class ParentSettings:
    """Which lists let a domain stand for what is below it."""

    parent_domain_matches_subdomains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """The pattern that decided."""

    belongs: bool
    text: str
    """The pattern as written, a table's with the key that was found: evidence."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One word of the list."""

    text: str
    """As evidence: the word, and the file it came from."""
    negated: bool
    name: str = ""
    network: Network | None = None
    table: Table | None = None
    trouble: str = ""
    """Why it cannot be asked: each match raises TableRetry. One with a name can still be asked for names."""


class MatchList:
    """Patterns in order."""

    __slots__ = ("_fixed", "_known", "_networks", "_parents", "_patterns", "_refusals", "_warn", "title")

    def __init__(self, title: str, patterns: Sequence[Pattern], *, parents: bool, refusals: bool = False) -> None:
        self.title = title
        self._patterns = tuple(patterns)
        self._parents = parents
        self._refusals = refusals
        self._networks = any(pattern.network is not None for pattern in patterns)
        self._fixed = all(pattern.table is None and not pattern.trouble for pattern in patterns)
        self._known: dict[tuple[str, str], Match | None] = {}
        self._warn = speaker()

    def __bool__(self) -> bool:
        return bool(self._patterns)

    async def matches(self, name: str, address: str = "") -> str | None:
        """Which pattern says that it belongs, or None. Raises TableRetry."""
        match = await self.decide(name, address)
        return match.text if match is not None and match.belongs else None

    async def decide(self, name: str, address: str = "") -> Match | None:
        """The first pattern that matches the name or the address ("" is never matched). Raises TableRetry."""
        if not self._fixed:
            return await self._look(name, address)
        key = (name, address)
        if key not in self._known:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[key] = await self._look(name, address)
        return self._known[key]

    async def _look(self, name: str, address: str) -> Match | None:
        name = fold_key(name)
        parsed = parse_address(address) if self._networks and address else None
        for pattern in self._patterns:
            if pattern.trouble and (address or not pattern.name):
                raise TableRetry(f"{self.title}: {pattern.trouble}")
            if pattern.table is not None:
                match = await self._ask(pattern, pattern.table, name, address)
                if match is not None:
                    return match
            elif (
                (pattern.network is not None and parsed is not None and pattern.network.holds(parsed))
                or (name and self._names(pattern.name, name))
                or (address and pattern.name == address)
            ):
                return Match(not pattern.negated, pattern.text)
        return None

    def _names(self, pattern: str, name: str) -> bool:
        if pattern == name:
            return True
        if not pattern or not name.endswith(pattern):
            return False
        return name[-len(pattern) - 1] == "." if self._parents else pattern[0] == "."

    async def _ask(self, pattern: Pattern, table: Table, name: str, address: str) -> Match | None:
        for key in self._keys(table, name, address):
            try:
                row = await table.lookup(key)
            except TableRetry:
                self._warn(f"{self.title}: {pattern.text}: table lookup problem")
                raise
            if row is None:
                continue
            text = f"{pattern.text}: {key} -> {row.value}" if row.value else f"{pattern.text}: {key}"
            if self._refusals and row.value[: len(REFUSAL)].upper() == REFUSAL:
                return Match(pattern.negated, text)
            return Match(not pattern.negated, text)
        return None

    def _keys(self, table: Table, name: str, address: str) -> Iterator[str]:
        if name:
            yield name
            if not table.whole_key:
                dot = name.find(".", 1)
                while dot >= 0:
                    parent = name[dot + 1 :] if self._parents else name[dot:]
                    if not parent.strip("."):
                        break
                    yield parent
                    dot = name.find(".", dot + 1)
        if address:
            yield address

    def close(self) -> None:
        """Close the tables."""
        for pattern in self._patterns:
            if pattern.table is not None:
                pattern.table.close()


def open_match_list(
    value: str,
    configuration: Configuration,
    parameter: str,
    *,
    parent_domains: bool | None = None,
    refusals: bool = False,
) -> MatchList:
    """A list of names and addresses. `parent_domains` None: as parent_domain_matches_subdomains says for the parameter.

    `refusals`: a table's REJECT means that the client does not belong.
    """
    if parent_domains is None:
        parent_domains = parameter in read_settings(ParentSettings, configuration).parent_domain_matches_subdomains
    patterns = list(_parse(value, configuration, parameter, negated=False, origin="", depth=0))
    return MatchList(parameter, patterns, parents=parent_domains, refusals=refusals)


def open_client_list(value: str, configuration: Configuration, parameter: str) -> MatchList:
    """mynetworks and its like: host names, addresses, networks; a table's REJECT means "does not belong"."""
    return open_match_list(value, configuration, parameter, refusals=True)


def _parse(
    text: str, configuration: Configuration, parameter: str, *, negated: bool, origin: str, depth: int
) -> Iterator[Pattern]:
    for word in split_words(text):
        bare = word.lstrip("!")
        turned = negated ^ ((len(word) - len(bare)) % 2 == 1)
        shown = f"{'!' if turned else ''}{bare}{origin}"
        if not bare:
            warn(f"{parameter}: no pattern after '!'")
        elif bare.startswith("/"):
            yield from _parse_file(bare, configuration, parameter, negated=turned, depth=depth + 1)
        elif ":" in bare and not bare.startswith("["):
            yield Pattern(shown, turned, table=open_table(bare, configuration))
        else:
            yield _plain(bare, shown, turned, parameter)


def _parse_file(
    path: str, configuration: Configuration, parameter: str, *, negated: bool, depth: int
) -> Iterator[Pattern]:
    if depth > DEPTH_LIMIT:
        yield Pattern(path, negated, trouble=f"{path}: files that name each other")
        return
    try:
        lines = read_lines(path)
    except OSError as error:
        trouble = f"open file {path}: {error.strerror}"
        warn(f"{parameter}: {trouble}")
        yield Pattern(path, negated, trouble=trouble)
        return
    for line in logical_lines(lines, path, warn):
        origin = f" ({path}, line {line.number})"
        yield from _parse(
            line.text.strip(BLANKS), configuration, parameter, negated=negated, origin=origin, depth=depth
        )


def _plain(bare: str, shown: str, negated: bool, parameter: str) -> Pattern:
    # Every word is a name as well: mydestination lists [1.2.3.4] and means a domain literal.
    name = fold_key(bare.rstrip(".") if len(bare) > 1 else bare)
    if bare.startswith("[") or "/" in bare or not bare.strip("0123456789."):
        try:
            return Pattern(shown, negated, name=name, network=parse_network(bare))
        except BadNetwork as bad:
            if "/" in bare:
                warn(f"{parameter}: {bad}")
                # A network that cannot be read must neither open nor close the door: whoever asks is told to wait.
                return Pattern(shown, negated, name=name, trouble=str(bad))
    return Pattern(shown, negated, name=name)
