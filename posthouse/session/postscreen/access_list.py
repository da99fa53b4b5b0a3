"""postscreen_access_list: clients that pass, or are refused, without tests.

    list    = *( "permit_mynetworks" / "permit" / "reject" / "dunno" / type:table )

The first word that says something decides. A table is asked for the client's address, and its value is such a list
itself. An unknown word, or a table that cannot be asked, ends the list with a warning.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from posthouse.config.configuration import Configuration
from posthouse.envelope.verdict import Evidence
from posthouse.policy.mynetworks import HostList
from posthouse.tables.match_list import open_client_list
from posthouse.tables.open import open_table
from posthouse.tables.table import Table, TableRetry
from posthouse.tables.words import split_words

PARAMETER = "postscreen_access_list"


class Access(Enum):
    """What the list says."""

    DUNNO = "dunno"
    PERMIT = "permit"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Ruling:
    """And why."""

    access: Access
    evidence: tuple[Evidence, ...] = ()


DUNNO = Ruling(Access.DUNNO)
ENOUGH = Ruling(Access.DUNNO)
"""The word dunno: nothing more of this list."""
BROKEN = Ruling(Access.DUNNO)
"""Nothing more of any list: who cannot be understood neither permits nor rejects."""


class AccessList:
    """The list of one listener."""

    def __init__(
        self,
        words: Sequence[str],
        mynetworks: HostList,
        tables: dict[str, Table],
        origin: str,
        warn: Callable[[str], None],
    ) -> None:
        """`tables` by the word that names each; `origin` is where the parameter is set."""
        self._words = tuple(words)
        self._mynetworks = mynetworks
        self._tables = tables
        self._origin = origin
        self._warn = warn

    async def judge(self, address: str) -> Ruling:
        """What it says of a client."""
        for word in self._words:
            table = self._tables.get(word)
            if table is None:
                ruling = await self._word(word, address, word, "", PARAMETER)
            else:
                try:
                    row = await table.lookup(address)
                except TableRetry:
                    self._ignore(f"{PARAMETER}: {word}: table lookup error")
                    return DUNNO
                if row is None:
                    continue
                fact = f"{row.table}{f', line {row.line}' if row.line else ''}: {row.key} -> {row.value}"
                ruling = await self._value(row.value, address, word, fact)
                if ruling is ENOUGH:
                    ruling = DUNNO  # of this table: the next word has its say
            if ruling is not DUNNO:
                return ruling
        return DUNNO

    async def _value(self, value: str, address: str, restriction: str, fact: str) -> Ruling:
        for word in split_words(value):
            ruling = await self._word(word, address, restriction, fact, restriction)
            if ruling is not DUNNO:
                return ruling
        return DUNNO

    async def _word(self, word: str, address: str, restriction: str, fact: str, where: str) -> Ruling:
        """DUNNO goes on with the list."""
        match word.lower():
            case "permit":
                return self._ruling(Access.PERMIT, restriction, fact)
            case "reject":
                return self._ruling(Access.REJECT, restriction, fact)
            case "dunno":
                return ENOUGH
            case "permit_mynetworks":
                try:
                    found = await self._mynetworks.matches("", address)
                except TableRetry:
                    self._ignore(f"{where}: mynetworks: table lookup error")
                    return BROKEN
                return DUNNO if found is None else self._ruling(Access.PERMIT, restriction, f"mynetworks: {found}")
        self._ignore(f"{where}: unknown command: {word}")
        return BROKEN

    def _ruling(self, access: Access, restriction: str, fact: str) -> Ruling:
        return Ruling(access, (Evidence(PARAMETER, self._origin, restriction, fact),))

    def _ignore(self, trouble: str) -> None:
        self._warn(f"{trouble} -- ignoring the remainder of this access list")


def open_access_list(
    value: str, mynetworks: str, configuration: Configuration, warn: Callable[[str], None]
) -> AccessList:
    """From main.cf."""
    words = split_words(value)
    tables = {word: open_table(word, configuration) for word in words if ":" in word}
    hosts = open_client_list(mynetworks, configuration, "mynetworks")
    return AccessList(words, hosts, tables, configuration.origin(PARAMETER), warn)
