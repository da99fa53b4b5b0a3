"""One configuration: what is set, over what is built in.

A service has its own: the main.cf values with its -o settings on top. Values are looked up
by name, expanded on demand, and remembered; the object does not change once read.
"""

from collections.abc import Mapping

from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.catalog.service_parameters import guess_service_parameter
from posthouse.config.convert import boolean, integer, seconds
from posthouse.config.error import ConfigError
from posthouse.config.expand import MacroError, expand
from posthouse.config.parameter import Parameter
from posthouse.config.words import split_words


class Configuration:
    """Parameters by name. `warnings` are what reading the files gave, in Postfix's words."""

    __slots__ = ("_cache", "_computed", "_origins", "_values", "directory", "warnings")

    def __init__(
        self,
        directory: str,
        values: Mapping[str, str],
        origins: Mapping[str, str] | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.warnings = warnings
        self._values = dict(values)
        self._origins = dict(origins or {})
        self._cache: dict[str, str] = {}
        self._computed: dict[str, str] = {}

    def with_overrides(self, overrides: Mapping[str, str], origin: str) -> "Configuration":
        """The same configuration with other values on top, as -o does."""
        origins = {**self._origins, **dict.fromkeys(overrides, origin)}
        return Configuration(self.directory, {**self._values, **overrides}, origins, self.warnings)

    def names(self) -> tuple[str, ...]:
        """The names that are set."""
        return tuple(self._values)

    def is_set(self, name: str) -> bool:
        """Whether a file or an override gives the name a value, be it empty."""
        return name in self._values

    def origin(self, name: str) -> str:
        """Where the value comes from: main.cf:12, master.cf:9, or default."""
        if name not in self._values:
            return "default"
        return self._origins.get(name, "main.cf")

    def raw(self, name: str) -> str:
        """The value as written. ConfigError when nobody knows the name."""
        found = self._find(name)
        if found is None:
            raise ConfigError(f"unknown parameter: {name}")
        return found

    def value(self, name: str) -> str:
        """The value, fully expanded; empty when it is empty."""
        cached = self._cache.get(name)
        if cached is None:
            cached = self.expand(self.raw(name))
            if name == "myorigin" and cached.startswith("/"):
                cached = _first_line(name, cached)
            self._cache[name] = cached
        return cached

    def expand(self, text: str) -> str:
        """Any text with $name and its like replaced by this configuration's values."""
        try:
            return expand(text, self._find)
        except MacroError as error:
            raise ConfigError("dictionary mail_dict: macro processing error", (*error.warnings, error.text)) from error

    def boolean(self, name: str) -> bool:
        """A yes or no."""
        return boolean(name, self.value(name))

    def integer(self, name: str) -> int:
        """A number, within the bounds of the catalog."""
        return integer(name, self.value(name), self._parameter(name))

    def seconds(self, name: str) -> int:
        """A time, in seconds. A number without a unit has the unit of the default."""
        parameter = self._parameter(name)
        default = expand(parameter.default, self._find) if parameter.default else ""
        unit = default[-1:] if default[-1:].isalpha() else "s"
        return seconds(name, self.value(name), unit, parameter)

    def words(self, name: str) -> tuple[str, ...]:
        """The words of a list; { … } is one word, with its braces."""
        return split_words(self.value(name))

    def parameter(self, name: str) -> Parameter | None:
        """What the catalog says about the name; None when nobody knows it and it is not set."""
        known = PARAMETERS.get(name) or guess_service_parameter(name)
        if known is None and name in self._values:
            return Parameter(name, "string", "", 0, 0, "user")
        return known

    def _parameter(self, name: str) -> Parameter:
        found = self.parameter(name)
        if found is None:
            raise ConfigError(f"unknown parameter: {name}")
        return found

    def _find(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is not None:
            return value
        if name in COMPUTED:
            return self._compute(name)
        known = PARAMETERS.get(name) or guess_service_parameter(name)
        return None if known is None else known.default

    def _compute(self, name: str) -> str:
        value = self._computed.get(name)
        if value is None:
            # Imported here: most configurations set these names, and the machine need not be asked.
            from posthouse.config.machine import computed_default

            value = self._computed[name] = computed_default(name, self)
        return value


def _first_line(name: str, path: str) -> str:
    """What Debian's Postfix makes of `myorigin = /etc/mailname`."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            line = file.readline().strip()
    except OSError as error:
        raise ConfigError(f"{path}: cannot open file: {error.strerror}") from error
    if not line:
        raise ConfigError(f"{name} file {path} is empty")
    return line


COMPUTED = frozenset({"config_directory", "mydomain", "myhostname", "mynetworks", "process_id", "process_name"})
"""Names whose default is found out, not written down."""
