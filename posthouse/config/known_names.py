"""Which names of main.cf and of master.cf's -o settings mean something.

Built-in names do, and those a service brings along. A name of the user's own does when a
value mentions it, or smtpd_restriction_classes lists it, or it is a setting of a legacy
database source (`ldap:name` makes name_server_host known). Others are probably misspelt.
"""

import os
from collections.abc import Iterable

from posthouse.config.catalog.database_suffixes import DATABASE_SUFFIXES
from posthouse.config.catalog.legacy_names import LEGACY_NAMES
from posthouse.config.catalog.parameters import PARAMETERS, POSTFIX_PARAMETERS
from posthouse.config.catalog.service_parameters import EXCEPTIONS, service_parameters
from posthouse.config.configuration import COMPUTED, Configuration
from posthouse.config.error import ConfigError
from posthouse.config.expand import MacroError, balanced_end, expand, references
from posthouse.config.logical_line import printable, read_text
from posthouse.config.main_cf import parse_main_cf
from posthouse.config.master_cf import Service
from posthouse.config.parameter import Parameter
from posthouse.config.words import split_words

READ_ONLY = ("process_id", "process_name", "service_name")


class KnownNames:
    """The names that mean something, and what postconf warns about."""

    def __init__(self, values: dict[str, str], services: Iterable[Service], main_path: str, master_path: str) -> None:
        self.values = values
        self.services = list(services)
        self.main_path = main_path
        self.master_path = master_path
        self.by_service: dict[str, Parameter] = {}
        self.by_user: dict[str, str] = {}
        self.by_override: list[dict[str, str]] = [{} for _ in self.services]
        """For each service the names of its -o settings that something mentions."""
        self.early_warnings: list[str] = []
        self.late_warnings: list[str] = []
        self._checked_files: set[str] = set()
        for service in self.services:
            for parameter in service_parameters(service.name, service.command):
                if parameter.name not in POSTFIX_PARAMETERS:
                    self.by_service[parameter.name] = parameter

    def is_builtin(self, name: str) -> bool:
        """Whether Postfix, or this program, has the name built in."""
        return name in PARAMETERS or name in self.by_service or name in EXCEPTIONS

    def lookup(self, name: str) -> str | None:
        """The unexpanded value of a name: set, or built in."""
        value = self.values.get(name)
        if value is not None:
            return value
        return self.default(name)

    def default(self, name: str) -> str | None:
        """The built-in value of a name."""
        if name in COMPUTED:
            return Configuration(os.path.dirname(self.main_path), self.values).raw(name)
        known = PARAMETERS.get(name) or self.by_service.get(name)
        return EXCEPTIONS.get(name) if known is None else known.default

    def scan(self) -> None:
        """Find the user's own names in use, and all there is to warn about."""
        self._require_level()
        for name in LEGACY_NAMES & self.values.keys():
            self.by_user[name] = self.values[name]
        for name, value in self.values.items():
            self._scan_value(name, value, self.values, self.by_user, self.main_path)
        for service, own in zip(self.services, self.by_override, strict=True):
            for name, value in service.overrides.items():
                self._scan_value(name, value, service.overrides, own, self.master_path)
        own_names = self.by_override
        self._check_databases(self.values, self.by_user, self.values)
        for service, own in zip(self.services, own_names, strict=True):
            self._check_databases(service.overrides, own, {**self.values, **service.overrides})
        for name, value in self.values.items():
            if not self.is_builtin(name) and name not in self.by_user:
                self.late_warnings.append(f"{self.main_path}: unused parameter: {printable(f'{name}={value}')}")
        for service, own in zip(self.services, own_names, strict=True):
            for name, value in service.overrides.items():
                if not self.is_builtin(name) and name not in self.by_user and name not in own:
                    self.late_warnings.append(f"{self.master_path}: unused parameter: {printable(f'{name}={value}')}")

    def mentioned_settings(self) -> list[str]:
        """What -v tells: which -o settings a value of main.cf or a default mentions, and so gives a meaning."""
        mentioned: set[str] = set()
        for value in (*(known.default for known in PARAMETERS.values()), *self.values.values()):
            mentioned.update(references(value)[0])
        return [
            f"${name} in main.cf validates {name}=value in master.cf:{service.name}/{service.type}"
            for service in self.services
            for name in service.overrides
            if name in mentioned
        ]

    def _scan_value(self, name: str, value: str, local: dict[str, str], own: dict[str, str], path: str) -> None:
        known = PARAMETERS.get(name) or self.by_service.get(name)
        if known is not None and known.kind == "raw":
            return
        mentioned, wrong = references(value)
        for mention in mentioned:
            self._mention(mention, local, own, path)
        if wrong:
            self.early_warnings += wrong
            return
        if name == "smtpd_restriction_classes":
            for word in split_words(self._expanded(value, local)):
                self._mention(word, local, own, path)

    def _expanded(self, value: str, local: dict[str, str]) -> str:
        try:
            return expand(value, lambda name: local[name] if name in local else self.lookup(name))
        except MacroError:
            # The check of the same value below reports it, and gives up.
            return ""

    def _mention(self, name: str, local: dict[str, str], own: dict[str, str], path: str) -> None:
        if self.is_builtin(name) or name in self.by_user or name in own:
            return
        if name in local:
            own[name] = local[name]
        elif name in self.values:
            self.by_user[name] = self.values[name]
        elif name not in LEGACY_NAMES and not (local is self.values and self._mention_override(name)):
            self.early_warnings.append(f"{path}: undefined parameter: {name}")

    def _mention_override(self, name: str) -> bool:
        """A name in main.cf that only -o settings define: it gives those a meaning."""
        found = False
        for service, own in zip(self.services, self.by_override, strict=True):
            if name in service.overrides:
                own[name] = service.overrides[name]
                found = True
        return found

    def _require_level(self) -> None:
        try:
            expand("${{$compatibility_level} <level {1} ? {} : {}}", self.lookup)
        except MacroError as error:
            raise ConfigError("macro processing error", (*self.early_warnings, *error.warnings, error.text)) from error

    def _check_databases(self, local: dict[str, str], own: dict[str, str], scope: dict[str, str]) -> None:
        for name, value in local.items():
            known = PARAMETERS.get(name) or self.by_service.get(name)
            if known is None or known.kind == "raw":
                continue
            try:
                text = expand(value, lambda name: scope[name] if name in scope else self.default(name))
            except MacroError as error:
                raise ConfigError(
                    "macro processing error", (*self.early_warnings, *error.warnings, error.text)
                ) from error
            self._check_sources(text, local, own)

    def _check_sources(self, text: str, local: dict[str, str], own: dict[str, str]) -> None:
        """The tables in a list: a source that is a name makes settings known, one that is a path is looked into."""
        for word in split_words(text):
            if word.startswith("{"):
                self._check_sources(self._inside(word), local, own)
                continue
            kind, _, source = word.partition(":")
            while kind == "proxy":
                kind, _, source = source.partition(":")
            if source.startswith("{"):
                self._check_sources(self._inside(source), local, own)
            elif source.startswith("/") and kind in DATABASE_SUFFIXES:
                self._check_database_file(kind, source)
            elif source:
                for suffix in DATABASE_SUFFIXES.get(kind, ()):
                    setting = f"{source}_{suffix}"
                    if setting in local:
                        own[setting] = local[setting]
                    elif setting in self.values:
                        self.by_user[setting] = self.values[setting]

    def _inside(self, word: str) -> str:
        """What is between a word's braces."""
        end = balanced_end(word, 0)
        if end < 0:
            self.early_warnings.append(f"main.cf: missing '}}' in \"{word}\"")
            return word[1:]
        if end < len(word):
            self.early_warnings.append(f"main.cf: syntax error after '}}' in \"{word}\"")
        return word[1 : end - 1]

    def _check_database_file(self, kind: str, path: str) -> None:
        if f"{kind}:{path}" in self._checked_files:
            return
        self._checked_files.add(f"{kind}:{path}")
        try:
            text = read_text(path)
        except OSError as error:
            self.early_warnings.append(f'open "{kind}" configuration "{path}": {error.strerror}')
            return
        entries = {entry.name: entry.value for entry in parse_main_cf(text, path).entries}
        for name, value in entries.items():
            if name not in DATABASE_SUFFIXES[kind]:
                self.early_warnings.append(f"{kind}:{path}: unused parameter: {printable(f'{name}={value}')}")
