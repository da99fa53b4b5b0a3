"""Settings: the parameters that one service reads, as a frozen value.

    @dataclass(frozen=True, slots=True)
    class SmtpClientSettings:
        smtp_helo_timeout: int
        smtp_skip_quit_response: bool
        smtp_bind_address: str

    read_settings(SmtpClientSettings, configuration, rename=lambda n: n.replace("smtp_", "lmtp_", 1))

Field names are parameters, or `field(metadata={"parameter": "2bounce_notice_recipient"})`
names one; types say how the value is read: str, bool, int (numbers, and times in seconds),
tuple[str, ...] (words). A parameter of kind raw comes as written. Each value is checked
against the catalog, and refused in Postfix's words.
"""

from __future__ import annotations

from collections.abc import Callable

from posthouse.config.configuration import Configuration
from posthouse.config.convert import string
from posthouse.config.error import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import, and every command starts here
    from typing import TypeVar

    T = TypeVar("T")

_WORDS = {"tuple[str, ...]", str(tuple[str, ...])}


def read_settings(cls: type[T], configuration: Configuration, rename: Callable[[str], str] | None = None) -> T:
    """An instance of the dataclass filled from the configuration; `rename` maps each parameter name first."""
    from dataclasses import fields  # here: commands that read single values do without

    values: dict[str, object] = {}
    for field in fields(cls):  # type: ignore[arg-type]  # a dataclass; type[T] cannot say so
        if not field.init:
            continue
        name = str(field.metadata.get("parameter", field.name))
        values[field.name] = read_value(configuration, rename(name) if rename else name, field.type)
    return cls(**values)


def read_value(configuration: Configuration, name: str, kind: object) -> object:
    """One parameter, read as the type says."""
    parameter = configuration.parameter(name)
    if parameter is None:
        raise ConfigError(f"unknown parameter: {name}")
    spelled = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    if kind == tuple[str, ...] or spelled in _WORDS:
        return configuration.words(name)
    if spelled == "bool":
        return configuration.boolean(name)
    if spelled == "int":
        return configuration.seconds(name) if parameter.kind == "time" else configuration.integer(name)
    if spelled == "str":
        if parameter.kind == "raw":
            text = configuration.raw(name)
            if len(text) < parameter.minimum:
                raise ConfigError(f"bad string length ({len(text)} < {parameter.minimum}): {name} = {text}")
            return text
        return string(name, configuration.value(name), parameter)
    raise AssertionError(f"a settings field cannot have the type {kind!r}: {name}")
