"""The macros of each stage: which names go to a milter, and with which values.

A milter may name its own at the start (SETSYMLIST); else milter_*_macros says. A macro without a
value is not sent, unless milter_macro_defaults has one for it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from posthouse.config.words import split_words
from posthouse.policy.milter.settings import MilterSettings
from posthouse.wire.milter import command

Value = Callable[[str], Awaitable[str | None]]
"""From a name as configured ("j", "{client_addr}") to its value now."""

STAGES = (
    command.CONNECT,
    command.HELO,
    command.MAIL,
    command.RCPT,
    command.DATA,
    command.END_OF_BODY,
    command.END_OF_HEADERS,
)
"""libmilter's numbers of the stages (SMFIM_…), from 0."""
SAME_AS = {command.HEADER: command.END_OF_HEADERS, command.BODY: command.END_OF_BODY}
"""Commands that go with the macros of another one."""


@dataclass(frozen=True, slots=True)
class MacroNames:
    """Names by command letter, and values for those that have none."""

    names: Mapping[bytes, tuple[str, ...]]
    defaults: Mapping[str, str]

    @classmethod
    def read(cls, settings: MilterSettings) -> "MacroNames":
        """From main.cf."""
        names = {
            command.CONNECT: settings.milter_connect_macros,
            command.HELO: settings.milter_helo_macros,
            command.MAIL: settings.milter_mail_macros,
            command.RCPT: settings.milter_rcpt_macros,
            command.DATA: settings.milter_data_macros,
            command.END_OF_HEADERS: settings.milter_end_of_header_macros,
            command.END_OF_BODY: settings.milter_end_of_data_macros,
            command.UNKNOWN: settings.milter_unknown_command_macros,
        }
        return cls(names, parse_defaults(settings.milter_macro_defaults))

    def chosen(self, wanted: tuple[tuple[int, bytes], ...]) -> "MacroNames":
        """With the lists that a milter asked for in place of ours."""
        if not wanted:
            return self
        names = dict(self.names)
        for stage, words in wanted:
            if stage < len(STAGES):
                names[STAGES[stage]] = tuple(words.decode("utf-8", "surrogateescape").replace(",", " ").split())
        return MacroNames(names, self.defaults)

    async def values(self, letter: bytes, value: Value) -> tuple[tuple[bytes, bytes], ...]:
        """What goes with a command."""
        found = []
        for name in self.names.get(SAME_AS.get(letter, letter), ()):
            text = await value(name)
            if text is None:
                text = self.defaults.get(name.strip("{}"))
            if text is not None:
                found.append((name.encode("utf-8", "surrogateescape"), text.encode("utf-8", "surrogateescape")))
        return tuple(found)


def parse_defaults(text: str) -> dict[str, str]:
    """milter_macro_defaults: name=value or {name}=value pairs, { name = value with blanks }."""
    defaults = {}
    for word in split_words(text):
        pair = word[1:-1] if word.startswith("{") and word.endswith("}") and "=" in word else word
        name, _, value = pair.partition("=")
        defaults[name.strip().strip("{}")] = value.strip()
    return defaults
