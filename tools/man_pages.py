"""The manual pages docs/man/man1, man5 and man8, made from tools/manual, docstrings and the catalog: `./dev pages`.

A source is NAME.SECTION.txt. Its first line is `name, name - what it is`; then come headings (a line of capitals below
an empty one), paragraphs, tagged paragraphs (a line at the margin with an indented text right below) and examples (an
indented block after a blank line). `backquotes` are bold. A line of braces stands for what is told elsewhere:

    {docstring MODULE}       the paragraphs of a module's docstring; its Standards: and Missing: become sections
    {parameters FAMILY}      the parameters of a family of the catalog that act, each with its sentence
    {parameters FAMILY PREFIX…}    those of them whose names begin so
    {all FAMILY}             every parameter of a family, with kind, default and whether it acts
    {click}                  the commands of posthouse(1), from its parser

`pip install .` puts the pages into share/man beside bin, where man(1) looks. House tests compare the options with what
the parsers take, and find stale pages.
"""

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from posthouse.config.catalog.no_effect import REASONS
from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.effect import state
from tools.meanings import meaning

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tools" / "manual"
FOLDER = ROOT / "docs" / "man"
TITLES = {"1": "General Commands Manual", "5": "File Formats Manual", "8": "System Manager's Manual"}
WIDTH = 80
"""Characters of a line of text, as mandoc wants them."""

DATE = "2026-11-24"
"""What man(7) wants: when the sources last changed in what they say."""

LAST = ("EXIT STATUS", "ENVIRONMENT", "FILES", "CONFIGURATION PARAMETERS", "STANDARDS", "LIMITS", "SEE ALSO")
"""Sections that stand at the end, in this order, wherever they come from."""

Sections = dict[str, list[str]]
"""Heading to lines of our markup."""


def pages() -> dict[str, str]:
    """File name below docs/man to its text."""
    found = {}
    for path in sorted(SOURCES.glob("*.txt")):
        name, section = path.stem.rsplit(".", 1)
        names, page = _page(name, section, path.read_text(encoding="utf-8"))
        found[f"man{section}/{name}.{section}"] = page
        for other in names:
            if other != name:
                found[f"man{section}/{other}.{section}"] = f".so man{section}/{name}.{section}\n"
    return found


def options(text: str) -> list[str]:
    """The options that a source describes: every tag's, -a, --long, and both of `-h, --help`."""
    found: list[str] = []
    lines = text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("-") and below.startswith("    "):
            found += re.findall(r"(?:^|, )(--[a-z-]+|-[^-\s,])", line)
    return found


def _page(name: str, section: str, text: str) -> tuple[list[str], str]:
    first, *rest = text.splitlines()
    names, _, what = first.partition(" - ")
    sections = _sections(rest)
    order = [heading for heading in sections if heading not in LAST]
    order += [heading for heading in LAST if heading in sections]
    out = [f'.TH {name.upper().replace("-", chr(92) + "-")} {section} {DATE} "Posthouse" "{TITLES[section]}"']
    out.append(".ad l")  # with long names, no line could be stretched in a way that is worth it
    out += [".SH NAME", f"{_text(names)} \\- {_text(what)}"]
    for heading in order:
        out.append(f".SH {heading}" if " " not in heading else f'.SH "{heading}"')
        out += _body(sections[heading], synopsis=heading == "SYNOPSIS")
    out = list(_wrapped(out))
    notice = '.\\" Made by tools/man_pages.py from tools/manual; do not edit.'
    return names.split(", "), "\n".join([notice, *out]) + "\n"


def _sections(lines: list[str]) -> Sections:
    sections: Sections = {}
    current: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        if re.fullmatch(r"[A-Z][A-Z ]+", line) and not before:  # below other lines it is a tag: DUNNO
            current = sections.setdefault(line, [])
        elif line.startswith("{"):
            current += _told_elsewhere(line.strip("{}").split(), sections)
        else:
            current.append(line)
    return sections


def _told_elsewhere(words: list[str], sections: Sections) -> list[str]:
    kind, *arguments = words
    if kind == "docstring":
        return _docstring(arguments[0], sections)
    if kind == "parameters":
        family, *prefixes = arguments
        return _parameters(family, tuple(prefixes) or ("",))
    if kind == "all":
        return _whole_family(arguments[0])
    assert kind == "click", f"unknown: {words}"
    return _click()


def _docstring(module: str, sections: Sections) -> list[str]:
    path = ROOT / (module.replace(".", "/") + ".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    lines: list[str] = []
    command = path.stem.replace("_", "-")
    for paragraph in text.split("\n\n")[1:]:
        if paragraph.startswith(f"    {command} "):
            continue  # its synopsis: the page has one
        heading, _, rest = paragraph.partition(":")
        where = {"Standards": "STANDARDS", "Missing": "LIMITS"}.get(heading)
        if where is None:
            lines += [*paragraph.splitlines(), ""]
        elif (rest := rest.strip()) and (where == "LIMITS" or re.search("RFC|POSIX|http", rest)):
            # (What names a manual of Postfix tells those who work on the house, not who reads one.)
            told = f"Missing so far: {rest}" if where == "LIMITS" else rest
            sections.setdefault(where, []).extend(["", *told.splitlines()])
    return lines


def _parameters(family: str, prefixes: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    for name in sorted(PARAMETERS, key=str.lower):
        if PARAMETERS[name].family == family and name.startswith(prefixes) and state(name) == "acts":
            lines += [f"`{name}`", f"    {meaning(name)} ({_default(name)}.)"]
    return lines


def _whole_family(family: str) -> list[str]:
    lines: list[str] = []
    for name in sorted(PARAMETERS, key=str.lower):
        if PARAMETERS[name].family != family:
            continue
        what = state(name)
        here = {"acts": "", "missing": " Missing so far."}.get(what)
        if here is None:
            here = f" No effect here: {REASONS[name]}."
        lines += [f"`{name}`", f"    {meaning(name)} ({_default(name)}.){here}"]
    return lines


def _default(name: str) -> str:
    default = " ".join(PARAMETERS[name].default.split())
    kind = {"bool": "Yes or no", "int": "A number", "time": "A time"}.get(PARAMETERS[name].kind, "Text")
    return f"{kind}; default: {default or 'empty'}"


def _click() -> list[str]:
    import click

    from posthouse.commands.posthouse import house

    def walk(group: click.Group, words: str) -> Iterator[str]:
        for name, command in sorted(group.commands.items()):
            if isinstance(command, click.Group):
                yield from walk(command, f"{words}{name} ")
                continue
            arguments = [one for one in command.params if isinstance(one, click.Argument)]
            usage = "".join(f" {one.make_metavar(click.Context(command))}" for one in arguments)
            yield f"= `{words}{name}`{usage}"
            yield command.help or ""
            for one in command.params:
                if isinstance(one, click.Option):
                    metavar = "" if one.is_flag else f" {one.metavar or one.human_readable_name.upper()}"
                    yield f"{', '.join(one.opts)}{metavar}"
                    yield f"    {one.help or ''}"

    return list(walk(house, ""))


def _body(lines: list[str], *, synopsis: bool) -> list[str]:
    out: list[str] = []
    position = 0
    started = False  # a paragraph right after a heading needs no .PP
    while position < len(lines):
        line = lines[position]
        below = lines[position + 1] if position + 1 < len(lines) else ""
        if not line:
            position += 1
        elif line.startswith("    "):
            end = position
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end]):
                end += 1
            block = [text[4:] for text in lines[position:end]]
            while not block[-1]:
                block.pop()
            shown = [_synopsis(text) if synopsis else _text(text) for text in block]
            if not synopsis and started:
                out.append(".PP")
            out += [*([".nf"] if synopsis else [".RS 4", ".nf"]), *shown, ".fi", *([] if synopsis else [".RE"])]
            position, started = end, True
        elif line.startswith("= "):
            out.append(f".SS {_text(line[2:])}")
            position, started = position + 1, False
        elif below.startswith("    "):
            end = position + 1
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            out += [".TP", _tag(line), *(_text(text[4:]) for text in lines[position + 1 : end])]
            position, started = end, True
        else:
            end = position
            while end < len(lines) and lines[end] and not lines[end].startswith(("    ", "= ")):
                end += 1
            if end < len(lines) and lines[end].startswith("    "):
                end -= 1  # that one is a tag
            out += [*([".PP"] if started else []), *(_text(text) for text in lines[position:end])]
            position, started = end, True
    return out


def _tag(line: str) -> str:
    """A tag: options are bold, what they take is italic."""
    if not line.startswith("-"):
        return _text(line)
    words = re.split(r"(, | )", line)
    return "".join(
        f"\\fB{_text(w)}\\fP" if w.startswith("-") else f"\\fI{_text(w)}\\fP" if w.strip(", ") else w for w in words
    )


def _synopsis(line: str) -> str:
    head, space, rest = line.partition(" ")
    return f"\\fB{_text(head)}\\fP{space}{_text(rest)}" if head else _text(line)


def _text(text: str) -> str:
    """Text as roff has it."""
    text = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha").replace("~", "\\(ti")
    )
    text = re.sub(r"`([^`]*)`", lambda match: f"\\fB{match[1]}\\fP", text).replace("`", "\\(ga")
    text = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in text)
    return f"\\&{text}" if text[:1] in (".", " ") else text


def _wrapped(lines: list[str]) -> Iterator[str]:
    """Long lines of text in two or more: roff fills them again. Examples stay as they are."""
    filling = True
    for before, line in zip(["", *lines], lines, strict=False):
        if line in (".nf", ".fi"):
            filling = line == ".fi"
        if line.startswith(".") or len(line) <= WIDTH or not filling or before == ".TP":
            yield line
            continue
        first, *rest = textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)
        yield first
        for piece in rest:
            yield f"\\&{piece}" if piece.startswith(".") else piece


def stale() -> list[str]:
    """Names of pages that are not what their sources say, and of files that are no page."""
    wanted = pages()
    there = {
        str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*") if path.is_file()
    }
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main() -> int:
    """Write what is stale."""
    wanted = pages()
    for name in stale():
        path = FOLDER / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
        print(f"docs/man/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
