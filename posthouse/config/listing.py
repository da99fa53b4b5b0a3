"""What postconf shows: parameters of main.cf, and entries, fields and settings of master.cf."""

from collections.abc import Callable
from dataclasses import dataclass

from posthouse.config.catalog.legacy_names import LEGACY_NAMES
from posthouse.config.catalog.parameters import PARAMETERS, POSTFIX_PARAMETERS
from posthouse.config.catalog.service_parameters import EXCEPTIONS
from posthouse.config.configuration import COMPUTED, Configuration
from posthouse.config.edit_master import Pattern, matches, split_pattern
from posthouse.config.error import ConfigError
from posthouse.config.expand import MacroError, expand
from posthouse.config.fold import print_command, print_service, print_words
from posthouse.config.known_names import READ_ONLY, KnownNames
from posthouse.config.logical_line import printable
from posthouse.config.main_cf import read_main_cf
from posthouse.config.master_cf import FIELDS, MasterCf, Service, load_master_cf
from posthouse.config.options import Options, parse_override
from posthouse.config.read import DEFAULT_DIRECTORY


@dataclass(frozen=True, slots=True)
class Selection:
    """Which parameters: their classes, and whether defaults or only what is set."""

    classes: frozenset[str]
    defaults: bool
    changed: bool


class Listing:
    """One listing; lines go to `show`, warnings to `warn`, what -v tells to `note`.

    `flush` is called before the last warnings.
    """

    def __init__(
        self,
        directory: str,
        options: Options,
        warn: Callable[[str], None],
        show: Callable[[str], None],
        note: Callable[[str], None],
        flush: Callable[[], None],
    ) -> None:
        self.directory = directory
        self.options = options
        self.warn = warn
        self.show = show
        self.flush = flush
        self.values: dict[str, str] = {}
        self.read_only: list[str] = []
        self.main_path = f"{directory}/main.cf"
        self.master_path = f"{directory}/master.cf"
        if options.mode == "p":
            if not options.defaults:
                self._read_main()
            self.master = self._read_master(required=False)
        else:
            self.master = self._read_master(required=True)
            self._read_main()
        self.names = KnownNames(self.values, self.master.services, self.main_path, self.master_path)
        if options.verbose and not options.defaults:
            for text in self.names.mentioned_settings():
                note(text)
        self._computed: Configuration | None = None

    def _read_main(self) -> None:
        values = {"config_directory": self.directory}
        main = read_main_cf(self.main_path)
        for text in main.warnings:
            self.warn(text)
        for entry in main.entries:
            if entry.name == "config_directory":
                old = values["config_directory"]
                self.warn(f"{self.main_path}, line {entry.line}: overriding earlier entry: config_directory={old}")
            values[entry.name] = entry.value
        values.update(parse_override(text) for text in self.options.overrides)
        for name in READ_ONLY:
            if name in values:
                value = values.pop(name)
                self.read_only.append(f"{self.main_path}: read-only parameter assignment: {name}={printable(value)}")
        self.values = values

    def _read_master(self, *, required: bool) -> MasterCf:
        try:
            master = load_master_cf(self.master_path)
        except ConfigError as error:
            if required or not error.text.startswith("open "):
                raise
            self.warn(error.text)
            return MasterCf(self.master_path, [], [])
        for text in master.warnings:
            self.warn(text)
        return master

    # -- main.cf

    def show_parameters(self, selection: Selection) -> None:
        """The parameters asked for by name, or all of the selection, sorted."""
        if not selection.defaults:
            self.names.scan()
        for text in (*self.names.early_warnings, *self.read_only):
            self.warn(text)
        if self.options.arguments:
            for name in self.options.arguments:
                if not self._is_known(name):
                    self.warn(f"{name}: unknown parameter")
                else:
                    self._show_parameter(name, selection)
        else:
            for name in sorted(self._all_names(selection)):
                self._show_parameter(name, selection)
        self.flush()
        if not self.options.quiet:
            for text in self.names.late_warnings:
                self.warn(text)

    def _is_known(self, name: str) -> bool:
        # Names of old are found when asked for, and have no value unless somebody sets them.
        return self.names.is_builtin(name) or name in self.names.by_user or name in LEGACY_NAMES

    def _all_names(self, selection: Selection) -> set[str]:
        names: set[str] = set()
        if "builtin" in selection.classes:
            names.update(POSTFIX_PARAMETERS)
            # These are built in, and a service's as soon as there is one of that name.
            names.update(name for name in EXCEPTIONS if name not in self.names.by_service)
            # Newer names and our own are listed where they are set, so that a listing of defaults is Postfix's.
            names.update(name for name in self.values if name in PARAMETERS)
        if "service" in selection.classes:
            names.update(self.names.by_service)
        if "user" in selection.classes:
            names.update(self.names.by_user)
        return names

    def _show_parameter(self, name: str, selection: Selection) -> None:
        if selection.changed and name not in self.values:
            return
        value = self.values.get(name)
        if value is None:
            value = self._default(name)
        known = PARAMETERS.get(name)
        if self.options.expand and (known is None or known.kind != "raw"):
            value = self._expand(value, self._value)
        if self.options.json:
            self._show_object(name=name, value=value)
        else:
            self._show_pair(name, value)

    def _show_object(self, **members: str) -> None:
        """What postconf -j shows. Postfix 3.11 has the option; its exact members could not be compared with it."""
        import json

        # Bytes that are no UTF-8 cannot stand in JSON.
        clean = {
            key: value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for key, value in members.items()
        }
        self.show(json.dumps(clean, ensure_ascii=False))

    def _show_pair(self, name: str, value: str) -> None:
        if self.options.hide_value:
            self.show(name)
        elif self.options.hide_name:
            self.show(print_words(value, fold=self.options.fold))
        else:
            self.show(print_words(f"{name} = {value}", fold=self.options.fold))

    def _value(self, name: str) -> str | None:
        if name in self.values:
            return self.values[name]
        if name in self.names.by_user:
            return self.names.by_user[name]
        if name in COMPUTED:
            return self._default(name)
        return self.names.default(name)

    def _default(self, name: str) -> str:
        if name == "process_name":
            return "postconf"
        if name in COMPUTED:
            if self._computed is None:
                # Defaults are those of the program, whatever folder was named.
                directory = DEFAULT_DIRECTORY if self.options.defaults else self.directory
                self._computed = Configuration(directory, self.values)
            return self._computed.raw(name)
        return self.names.default(name) or ""

    def _expand(self, value: str, lookup: Callable[[str], str | None]) -> str:
        try:
            return expand(value, lookup)
        except MacroError as error:
            for text in (*error.warnings, error.text):
                self.warn(text)
            raise ConfigError("macro processing error") from error

    # -- master.cf

    def show_master(self, mode: str) -> None:
        """Entries (M), fields (F) or settings (P) of master.cf."""
        limit, form = {
            "M": (2, "service_name[/type]"),
            "F": (3, "service_name[/type[/field]]"),
            "P": (3, "service_name[/type[/parameter]]"),
        }[mode]
        self.names.scan()
        for text in self.names.early_warnings:
            self.warn(text)
        patterns = [split_pattern(argument) for argument in self.options.arguments] or [("*",)]
        for pattern in patterns:
            if not 0 < len(pattern) <= limit:
                raise ConfigError(f"-{mode} option requires {form}")
            if mode == "F" and len(pattern) == 3 and pattern[2] not in {*FIELDS, "*"}:
                raise ConfigError(f'invalid service attribute name: "{pattern[2]}"')
        show = {"M": self._show_entry, "F": self._show_fields, "P": self._show_settings}[mode]
        found: set[tuple[str, ...]] = set()
        for service in self.master.services:
            for pattern in patterns:
                if matches(pattern, service.name, service.type) and show(service, pattern[2:]):
                    found.add(pattern)
        for pattern, argument in zip(patterns, self.options.arguments, strict=False):
            if pattern not in found:
                self.warn(f'unmatched request: "{argument}"')
        self.flush()
        for text in () if self.options.quiet else self.names.late_warnings:
            if text.startswith(f"{self.master_path}: "):
                self.warn(text)

    def _words(self, service: Service) -> tuple[str, ...]:
        """The command's words, its settings expanded when asked for."""
        if not self.options.expand:
            return service.words
        words = list(service.words)
        for index in range(1, len(words)):
            if words[index - 1] == "-o" and not any(not word.startswith("-") for word in words[1 : index - 1 : 2]):
                name, equals, value = words[index].partition("=")
                if equals:
                    words[index] = f"{name}={self._expand(value, self._service_lookup(service))}"
        return tuple(words)

    def _service_lookup(self, service: Service) -> Callable[[str], str | None]:
        def lookup(name: str) -> str | None:
            if name == "service_name":
                return service.name
            if name in service.overrides:
                return service.overrides[name]
            return self._value(name)

        return lookup

    def _show_entry(self, service: Service, _: Pattern) -> bool:
        if self.options.json:
            command = print_command("", self._words(service), fold=False)
            self._show_object(**dict(zip(FIELDS, (*service.fields, command), strict=True)))
            return True
        self.show(print_service(service.fields, self._words(service), fold=self.options.fold))
        return True

    def _show_fields(self, service: Service, wanted: Pattern) -> bool:
        for index, field in enumerate(FIELDS):
            if not matches(wanted, field):
                continue
            name = f"{service.name}/{service.type}/{field}"
            if self.options.json:
                command = print_command("", self._words(service), fold=False)
                value = command if field == "command" else service.fields[index]
                self._show_object(service=service.name, type=service.type, field=field, value=value)
                continue
            if self.options.hide_value:
                self.show(name)
                continue
            start = "" if self.options.hide_name else f"{name} = "
            if field == "command":
                self.show(print_command(start, self._words(service), fold=self.options.fold))
            else:
                self.show(start + service.fields[index])
        return True

    def _show_settings(self, service: Service, wanted: Pattern) -> bool:
        names = [name for name in sorted(service.overrides) if matches(wanted, name)]
        for name in names:
            value = service.overrides[name]
            if self.options.expand:
                value = self._expand(value, self._service_lookup(service))
            if self.options.json:
                self._show_object(service=service.name, type=service.type, parameter=name, value=value)
                continue
            self._show_pair(f"{service.name}/{service.type}/{name}", value)
        return bool(names)
