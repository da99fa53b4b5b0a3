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
$delay_warning_time_hours. A template that cannot be used is left out after a warning; a line that is none, and an
unknown $name, are ConfigError.
"""

import re
from collections.abc import Callable
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
COPIED = ("failure template", "delay template")
"""Templates whose notices have a copy for postmaster."""
START = re.compile(r"\s*([^\s=]*)\s*(=?)\s*(.*?)\s*", re.DOTALL)
LABEL = re.compile(r"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
"""RFC 5322 section 2.2: field-name, and what follows."""
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
    warn: Callable[[str], None],
) -> dict[Kind, Template]:
    """The templates of one file. `expand` replaces $name, `seconds` gives a time parameter's value, `defined` tells
    whether there is a parameter of that name. Raises ConfigError."""
    found = {}
    for name, lines in _sections(text, path, warn).items():
        title = name.replace("_", " ")
        template = _template(lines, path, title, warn, _Words(path, title, expand, seconds, defined, warn))
        if template is not None:
            found[NAMES[name]] = template
    return found


def show_templates(text: str, path: str, warn: Callable[[str], None]) -> str:
    """All four as a template file, nothing expanded: those of this file, and our own words for those it has not.
    Raises ConfigError."""
    own = {}
    for name, lines in _sections(text, path, warn).items():
        own[NAMES[name]] = _template(lines, path, name.replace("_", " "), warn, _AsWritten())
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


def _sections(text: str, path: str, warn: Callable[[str], None]) -> dict[str, list[str]]:
    """The lines of each template of a file, in the order of NAMES; the last of a name counts. Raises ConfigError."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    found: dict[str, list[str]] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        # Numbers of lines are Postfix's: of the line behind the one that it has read.
        match = START.fullmatch(line)
        assert match is not None, "all of it may be empty"
        name, equals, value = match.groups()
        if not name:
            raise ConfigError(f'{path}, line {number + 1}: missing attribute name: "{line}"')
        if not equals:
            raise ConfigError(f"{path}, line {number + 1}: missing '=' after attribute name: \"{line}\"")
        own = [value]
        if value.startswith("<<"):
            mark = value[2:].strip()
            if not mark:
                raise ConfigError(f"{path}, line {number + 1}: missing end marker after <<")
            end = lines.index(mark, number) if mark in lines[number:] else len(lines)
            own = lines[number:end]
            number = end + 1
            if end == len(lines):
                warn(f'{path}, line {number}: missing "{mark}" end marker')
        if name in NAMES:
            found[name] = own
        else:
            warn(f"{path}, line {number + 1}: unknown template name: {name} -- ignoring this template")
    return {name: found[name] for name in NAMES if name in found}


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
    warn: Callable[[str], None]

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
            if given.count("${") > given.count("}") or given.count("$(") > given.count(")"):
                self.warn(f'truncated macro reference: "{line}"')
            raise ConfigError(f"{self.path}: bad $name syntax in {self.title}: {line}") from error

    def _time(self, match: re.Match[str]) -> str:
        name = match["braced"] or match["round"] or match["bare"]
        unit = match["braced_unit"] or match["round_unit"] or match["bare_unit"]
        return str(self.seconds(name) // UNITS[unit]) if name in TIMES else match[0]


def _template(lines: list[str], path: str, title: str, warn: Callable[[str], None], words: _Line) -> Template | None:
    """The template in these lines, or None after a warning."""
    fields: dict[str, str] = {}
    number = 0
    while number < len(lines) and (match := LABEL.fullmatch(lines[number])) is not None:
        label, value = match[1], match[2].strip()
        complaint = _complaint(label, value, title)
        if complaint:
            warn(f"{path}: {complaint} in {title} -- ignoring this template")
            return None
        fields[label.lower()] = value
        number += 1
    while number < len(lines) and not lines[number].strip():
        number += 1
    text = "\n".join(lines[number:])
    charset = fields.get("charset", "us-ascii")
    if not text:
        warn(f"{path}: missing message text in {title} -- ignoring this template")
        return None
    if not text.isascii() and charset.lower() == "us-ascii":
        warn(f"{path}: 8-bit message text in {title}")
        warn("please specify a charset value other than us-ascii")
        warn("-- ignoring this template for now")
        return None
    # Lines that look like what follows the text would mislead whoever parses the notice; bounce(5) forbids none.
    return Template(
        "\n".join(words.line(line) for line in lines[number:]) + "\n",
        charset,
        fields.get("from", ""),
        fields.get("subject", ""),
        fields.get("postmaster-subject", ""),
    )


def _complaint(label: str, value: str, title: str) -> str:
    """What is wrong with a field of a template's header, or ""."""
    if label.lower() not in FIELDS:
        return f'unknown "{label}" header label'
    if label.lower() == "postmaster-subject" and title not in COPIED:
        return f'inapplicable "{label}" header label'
    if not value:
        return f'empty "{label}" header value'
    return "" if value.isascii() else f'non-ASCII "{label}" header value'
