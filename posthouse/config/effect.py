"""The three states of a parameter: it acts, it has no effect here (with the reason), or it is missing so far.

A parameter acts when the program's own source reads it: as a field of a class whose name ends
in "Settings" or "Tables", or by name from a configuration. So nobody keeps a list by hand, and
no list can be wrong. Without source (a frozen program) every parameter counts as acting.
"""

import ast
import os
import re
from functools import cache

from posthouse.config.catalog.no_effect import REASONS
from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.catalog.refused import REFUSED
from posthouse.config.catalog.service_parameters import TRANSPORT_SUFFIXES
from posthouse.config.expand import references
from posthouse.config.parameter import Parameter

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
READERS = frozenset({"value", "raw", "words", "boolean", "integer", "seconds", "is_set"})
CLASS_ENDINGS = ("Settings", "Tables")
SERVICES = ("smtp", "lmtp", "smtpd", "imapd", "pop3d", "postscreen")
"""What the variable part of a name stands for."""

TWINS = (("smtp_", "lmtp_"), ("smtpd_", "postscreen_"), ("smtpd_", "imapd_"), ("smtpd_", "pop3d_"))
"""Prefixes that `rename` of read_settings exchanges; the second acts where a file that reads the first names it."""

UNREAD = frozenset(
    {
        *("commands/check_takeover.py", "commands/takeover_neighbours.py", "commands/takeover_services.py"),
        *("commands/takeover_tables.py", "commands/postconf.py", "commands/postmulti_edit.py", "testkit"),
    }
)
"""Sources whose mention of a name is no use of it: they show values, or copy them into another instance."""


class _Reads(ast.NodeVisitor):
    """The names that one source file reads."""

    def __init__(self) -> None:
        self.fields: set[str] = set()
        self.direct: set[str] = set()
        self.listed: set[str] = set()
        self.loops = False
        """Whether a name is read that a loop provides: then the names in the file's tuples are read."""
        self.texts: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Fields of a settings class."""
        if node.name.endswith(CLASS_ENDINGS):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    self.fields.add(_parameter_of(statement))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """configuration.value("name") and its like."""
        if isinstance(node.func, ast.Attribute) and node.func.attr in READERS and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                self.direct.add(argument.value)
            elif isinstance(argument, ast.JoinedStr):
                self.direct |= _spelled_out(argument)
            elif isinstance(argument, ast.Name):
                self.loops = True
        self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        """Names in a tuple."""
        self.listed.update(
            item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)
        )
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Texts, among them the prefixes that a rename exchanges."""
        if isinstance(node.value, str):
            self.texts.append(node.value)


def _spelled_out(text: ast.JoinedStr) -> set[str]:
    """The names that f"{prefix}_header_checks" may be."""
    pattern = ""
    for part in text.values:
        if isinstance(part, ast.Constant):
            pattern += re.escape(str(part.value))
        else:
            pattern += f"({'|'.join(SERVICES)})"
    # Without a word of its own the text could be any parameter of a service, and says nothing.
    if not re.search(r"[a-z]{3}", re.sub(r"\([^)]*\)", "", pattern)):
        return set()
    return {name for name in PARAMETERS if re.fullmatch(pattern, name)}


def _parameter_of(statement: ast.AnnAssign) -> str:
    assert isinstance(statement.target, ast.Name)
    if isinstance(statement.value, ast.Call):
        for keyword in statement.value.keywords:
            if keyword.arg == "metadata":
                for node in ast.walk(keyword.value):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != "parameter":
                        return node.value
    return statement.target.id


@cache
def acting_parameters() -> frozenset[str]:
    """Every name of the catalog that the program's source reads."""
    names: set[str] = set()
    renamed: set[str] = set()
    prefixes: set[str] = set()
    spelled: set[str] = set()
    for folder, _, files in os.walk(ROOT):
        for file in files:
            path = os.path.join(folder, file)
            relative = os.path.relpath(path, ROOT)
            if not file.endswith(".py") or relative in UNREAD or relative.startswith(("config/", "testkit/")):
                continue
            with open(path, encoding="utf-8") as source:
                text = source.read()
            if not any(ending in text for ending in CLASS_ENDINGS) and "onfiguration" not in text:
                continue
            reads = _Reads()
            reads.visit(ast.parse(text))
            names |= reads.fields | reads.direct | (reads.listed if reads.loops else set())
            renamed |= reads.fields
            prefixes.update(word for word in reads.texts if word.endswith("_"))
            if reads.fields:
                spelled.update(word for word in reads.texts if word in PARAMETERS)
    names |= _read_by_config()
    for first, second in TWINS:
        if second in prefixes:
            names |= {second + name.removeprefix(first) for name in renamed if name.startswith(first)}
            # Some differ in more than the prefix: their file spells them out.
            names |= {word for word in spelled if word.startswith(second)}
    # Read only to refuse: setting one of these does not make its part act.
    return frozenset(_with_what_they_mention(names)) - REFUSED.keys()


def _with_what_they_mention(names: set[str]) -> set[str]:
    """The names, and those that the defaults of acting ones are made of: $default_destination_rate_delay acts too."""
    todo = [name for name in names if name in PARAMETERS]
    for suffix, _, default in TRANSPORT_SUFFIXES:
        if suffix in names:
            todo += references(default)[0]
    acting: set[str] = set()
    while todo:
        name = todo.pop()
        if name in acting or name not in PARAMETERS:
            continue
        acting.add(name)
        if PARAMETERS[name].kind != "raw":
            todo += references(PARAMETERS[name].default)[0]
    return acting


def _read_by_config() -> set[str]:
    """What this room itself reads to make other values."""
    return {
        "alternate_config_directories",
        "compatibility_level",
        "config_directory",
        "inet_interfaces",
        "inet_protocols",
        "multi_instance_directories",
        "mydomain",
        "myhostname",
        "mynetworks_style",
    }


def state(name: str) -> str:
    """acts, no effect, or missing; service parameters act by their endings."""
    if name in acting_parameters():
        return "acts"
    if name in REASONS:
        return "no effect"
    if name not in PARAMETERS and name.endswith(tuple(row[0] for row in TRANSPORT_SUFFIXES)):
        return "acts"
    return "missing"


def count_states() -> dict[str, int]:
    """How many parameters of the catalog are in each state."""
    counts = {"acts": 0, "no effect": 0, "missing": 0}
    for name in PARAMETERS:
        counts[state(name)] += 1
    return counts


def no_effect_reason(parameter: Parameter) -> str:
    """Why it has no effect here; empty when it acts or is missing."""
    return "" if parameter.name in acting_parameters() else REASONS.get(parameter.name, "")
