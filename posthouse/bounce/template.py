"""bounce_template_file: the operator's own words for notices, as bounce(5) describes them.

    failure_template = <<EOF
    Charset: us-ascii
    From: MAILER-DAEMON (Mail Delivery System)
    Subject: Undelivered Mail Returned to Sender
    Postmaster-Subject: Postmaster Copy: Undelivered Mail

    This is the mail system at host $myhostname.
    EOF

Templates failure, delay, success and verify; those that are missing keep Posthouse's words.
$name of main.cf is replaced in the text (not in the header); time parameters take a unit:
$delay_warning_time_hours. Errors are ConfigError with file and line: an unknown $name, too.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from posthouse.bounce.prose import POSTMASTER_SUBJECT, Kind, prose_template
from posthouse.config.error import ConfigError

NAMES = {
    "failure_template": Kind.FAILURE,
    "delay_template": Kind.DELAY,
    "success_template": Kind.SUCCESS,
    "verify_template": Kind.VERIFY,
}
SENDER = "Mail Delivery System <MAILER-DAEMON>"
"""The From field of our own templates."""

FIELDS = ("charset", "from", "subject", "postmaster-subject")
START = re.compile(r"(\w+)\s*=\s*<<\s*(\S+)\s*")
TIME = re.compile(
    r"\$(?:\{(?P<braced>\w+?)_(?P<braced_unit>seconds|minutes|hours|days|weeks)\}"
    r"|\((?P<round>\w+?)_(?P<round_unit>seconds|minutes|hours|days|weeks)\)"
    r"|(?P<bare>\w+?)_(?P<bare_unit>seconds|minutes|hours|days|weeks)\b)"
)
REFERENCE = re.compile(r"\$(?:\$|\{(?P<braced>\w+)\}|\((?P<round>\w+)\)|(?P<bare>\w+))")
"""A parameter's name; with ? or : behind it, it need not be defined."""
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}
TIMES = ("delay_warning_time", "bounce_queue_lifetime", "maximal_queue_lifetime")
"""Parameters that take a unit."""


@dataclass(frozen=True, slots=True)
class Template:
    """One template, expanded."""

    text: str
    """Lines ended by LF."""
    charset: str = "us-ascii"
    sender: str = ""
    """The From field's value, or "" for Posthouse's own."""
    subject: str = ""
    postmaster_subject: str = ""


def parse_templates(
    text: str,
    path: str,
    expand: Callable[[str], str],
    seconds: Callable[[str], int],
    defined: Callable[[str], bool],
) -> dict[Kind, Template]:
    """The templates of one file. `expand` replaces $name, `seconds` gives a time parameter's value, `defined` tells
    whether there is a parameter of that name."""
    found = {}
    for name, lines, where in _sections(text, path):
        words = _Words(path, name.replace("_", " "), expand, seconds, defined)
        found[NAMES[name]] = _template(lines, where, words)
    return found


def show_templates(text: str, path: str) -> str:
    """All four as a template file, nothing expanded: those of this file, and our own words for those it has not."""
    own = {NAMES[name]: _template(lines, where, _AsWritten()) for name, lines, where in _sections(text, path)}
    parts = []
    for name, kind in NAMES.items():
        template = own.get(kind) or Template(prose_template(kind))
        header = f"Charset: {template.charset}\nFrom: {template.sender or SENDER}\n"
        header += f"Subject: {template.subject or kind.value}\n"
        copied = template.postmaster_subject or POSTMASTER_SUBJECT.get(kind, "")
        if copied:
            header += f"Postmaster-Subject: {copied}\n"
        parts.append(f"{name} = <<EOF\n{header}\n{template.text}EOF\n")
    return "\n".join(parts)


def _sections(text: str, path: str) -> Iterator[tuple[str, list[str], str]]:
    """Name, lines and place of each template of a file. Raises ConfigError."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = START.fullmatch(line)
        if start is None:
            raise ConfigError(f"{path}, line {number}: need: template_name = <<EOF")
        first = number
        try:
            end = lines.index(start[2], number)
        except ValueError:
            raise ConfigError(f"{path}, line {number}: missing end of template: {start[2]}") from None
        number = end + 1
        if start[1] not in NAMES:
            raise ConfigError(f"{path}, line {first}: unknown template name: {start[1]}")
        yield start[1], lines[first:end], f"{path}, line {first}"


class _Line(Protocol):
    """What becomes of the lines of a text."""

    def line(self, line: str) -> str:
        """One line. Raises ConfigError."""


class _AsWritten:
    """Nothing becomes of them."""

    def line(self, line: str) -> str:
        """One line."""
        return line


@dataclass(frozen=True, slots=True)
class _Words:
    """Expands the lines of a text, in bounce(8)'s words for what is wrong."""

    path: str
    title: str
    expand: Callable[[str], str]
    seconds: Callable[[str], int]
    defined: Callable[[str], bool]

    def line(self, line: str) -> str:
        """One line. Raises ConfigError."""
        given = TIME.sub(self._time, line)
        for found in REFERENCE.finditer(given):
            name = found["braced"] or found["round"] or found["bare"]
            if name and not self.defined(name):
                time = next((time for time in TIMES if name.startswith(f"{time}_")), "")
                if time:
                    suffix = name[len(time) + 1 :]
                    raise ConfigError(f'{self.path}: unrecognized suffix "{suffix}" in parameter "{name}"')
                raise ConfigError(f"{self.path}: undefined $name in {self.title}: {line}")
        try:
            return self.expand(given)
        except ConfigError as error:
            raise ConfigError(f"{self.path}: bad $name syntax in {self.title}: {line}") from error

    def _time(self, match: re.Match[str]) -> str:
        name = match["braced"] or match["round"] or match["bare"]
        unit = match["braced_unit"] or match["round_unit"] or match["bare_unit"]
        return str(self.seconds(name) // UNITS[unit]) if name in TIMES else match[0]


def _template(lines: list[str], where: str, words: _Line) -> Template:
    fields: dict[str, str] = {}
    number = 0
    for number, line in enumerate(lines):  # noqa: B007 - where the header ended matters after the loop
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if not colon or name.strip().lower() not in FIELDS:
            raise ConfigError(f"{where}: unknown or missing header label: {line}")
        fields[name.strip().lower()] = value.strip()
    body = "\n".join(words.line(line) for line in lines[number + 1 :])
    # Lines that look like what follows the text would mislead whoever parses the notice; bounce(5) forbids none.
    return Template(
        body + "\n" if body else "",
        fields.get("charset", "us-ascii"),
        fields.get("from", ""),
        fields.get("subject", ""),
        fields.get("postmaster-subject", ""),
    )
