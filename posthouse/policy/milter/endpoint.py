"""One milter of a list: where it listens, and how long and in which version it is spoken to.

    inet:host:port    unix:pathname    local:pathname    { inet:host:port, command_timeout = 5s, … }

Errors: ConfigError in Postfix's words.
"""

from dataclasses import dataclass

from posthouse.config.convert import seconds
from posthouse.config.error import ConfigError
from posthouse.config.words import split_words
from posthouse.policy.milter.settings import MilterSettings

TIMES = ("connect_timeout", "command_timeout", "content_timeout")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One milter."""

    name: str
    """As configured: "inet:127.0.0.1:8891"."""
    connect_timeout: int
    command_timeout: int
    content_timeout: int
    protocol: str
    default_action: str
    parameter: str = "smtpd_milters"
    origin: str = ""


def parse_milters(text: str, settings: MilterSettings, parameter: str, origin: str) -> tuple[Endpoint, ...]:
    """The milters of a list, in order. Raises ConfigError."""
    return tuple([_parse(word, settings, parameter, origin) for word in split_words(text)])


def _parse(word: str, settings: MilterSettings, parameter: str, origin: str) -> Endpoint:
    values: dict[str, int | str] = {
        "connect_timeout": settings.milter_connect_timeout,
        "command_timeout": settings.milter_command_timeout,
        "content_timeout": settings.milter_content_timeout,
        "protocol": settings.milter_protocol,
        "default_action": settings.milter_default_action,
    }
    name = word
    if word.startswith("{"):
        words = split_words(word.strip()[1:-1])
        if not words:
            raise ConfigError(f"empty milter service: {word}")
        name = words[0]
        # "name = value" comes as three words, "{ name = value with blanks }" as one.
        plain = " ".join(part for part in words[1:] if not part.startswith("{"))
        plain = plain.replace(" = ", "=").replace("= ", "=").replace(" =", "=")
        for option in [*plain.split(), *(part[1:-1].strip() for part in words[1:] if part.startswith("{"))]:
            key, equals, value = (part.strip() for part in option.partition("="))
            if not equals or key not in values:
                raise ConfigError(f'unknown option: "{key} = {value}"')
            values[key] = seconds(key, value, "s", None) if key in TIMES else value
    return Endpoint(
        name,
        int(values["connect_timeout"]),
        int(values["command_timeout"]),
        int(values["content_timeout"]),
        str(values["protocol"]),
        str(values["default_action"]),
        parameter,
        origin,
    )
