"""authorized_submit_users: who may hand over mail on this machine.

A list of user names, "!name", "/file" with such words, and tables (static:anyone by default),
in order: the first that matches decides. root and mail_owner always may.
"""

from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.config.words import split_words
from posthouse.tables.maps import Maps, open_maps

PARAMETER = "authorized_submit_users"
ANYONE = ("static:anyone",)
"""The default, which needs no look-up."""


@dataclass(frozen=True, slots=True)
class SubmitSettings:
    """The list."""

    authorized_submit_users: tuple[str, ...]


class SubmitUsers:
    """The list, read once."""

    def __init__(self, words: tuple[str, ...], configuration: Configuration) -> None:
        self._anyone = words == ANYONE
        self._rules: list[tuple[bool, str, Maps | None]] = []
        for word in () if self._anyone else words:
            self._add(word, configuration)

    @classmethod
    def open(cls, configuration: Configuration) -> "SubmitUsers":
        """From main.cf."""
        return cls(read_settings(SubmitSettings, configuration).authorized_submit_users, configuration)

    def _add(self, word: str, configuration: Configuration) -> None:
        name = word.lstrip("!")
        admit = (len(word) - len(name)) % 2 == 0
        if name.startswith("/"):
            with open(name, encoding="utf-8", errors="surrogateescape") as file:
                text = " ".join(line for line in file if not line.lstrip().startswith("#"))
            for inner in split_words(text):
                self._add(inner if admit else "!" + inner, configuration)
        elif ":" in name:
            self._rules.append((admit, name, open_maps(name, configuration, PARAMETER)))
        else:
            self._rules.append((admit, name, None))

    async def allows(self, user: str) -> bool:
        """Whether a login name may submit. Raises TableRetry."""
        if self._anyone:
            return True
        for admit, name, maps in self._rules:
            if user == name if maps is None else await maps.lookup(user) is not None:
                return admit
        return False
