"""The manual pages: one for each command, with every option that its parser takes, and in order as roff."""

import ast
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from posthouse.commands.postalias import POSTALIAS
from posthouse.commands.posthouse import house
from posthouse.commands.postmap import POSTMAP
from posthouse.commands.sendmail_options import LETTERS as SENDMAIL
from posthouse.config.options import LETTERS as POSTCONF
from tools import man_pages

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["posthouse"]["scripts"]
KNOWN = {
    "mailq": "",
    "newaliases": "",
    "postalias": POSTALIAS.options,
    "postconf": POSTCONF,
    "postdrop": "c:rv",
    "postmap": POSTMAP.options,
    "sendmail": SENDMAIL,
}
"""Options of parsers that are not found by looking for getopt() in the command's module."""


def _letters(module: str) -> str:
    """What the command's module, or module_options, gives to getopt()."""
    for path in (ROOT / f"posthouse/commands/{module}{ending}.py" for ending in ("", "_options")):
        if not path.exists():
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rsplit(".")[-1] in GETOPTS:
                letters = node.args[1]
                assert isinstance(letters, ast.Constant), ast.unparse(node)
                return str(letters.value)
    raise AssertionError(f"{module}: no getopt() found")


GETOPTS = ("getopt", "gnu_getopt", "split_options")


@pytest.mark.parametrize("command", SCRIPTS)
def test_a_command_has_a_page(command: str) -> None:
    assert (ROOT / f"docs/man/man1/{command}.1").is_file()


@pytest.mark.parametrize("command", [name for name in SCRIPTS if name not in ("posthouse", "mailx")])
def test_a_page_has_the_options_of_the_parser_and_no_others(command: str) -> None:
    letters = KNOWN.get(command)
    if letters is None:
        letters = _letters(SCRIPTS[command])
    text = (man_pages.SOURCES / f"{command}.1.txt").read_text(encoding="utf-8")
    described = [option for option in man_pages.options(text) if not option.startswith("--")]
    assert len(described) == len(set(described))
    assert sorted(f"-{letter}" for letter in letters if letter != ":") == sorted(described)


def test_the_page_of_posthouse_has_every_command_and_option() -> None:
    page = (ROOT / "docs/man/man1/posthouse.1").read_text(encoding="utf-8").replace("\\-", "-")

    def look(group: click.Group, words: str) -> None:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                look(command, f"{words}{name} ")
                continue
            assert f"{words}{name}" in page
            for one in command.params:
                if isinstance(one, click.Option):
                    assert all(f"\\fB{option}\\fP" in page for option in one.opts), one.opts

    look(house, "")


def test_no_page_is_stale() -> None:
    assert man_pages.stale() == [], "run ./dev pages"


def _pages() -> list[Path]:
    return [path for path in sorted((ROOT / "docs/man").glob("man?/*")) if not path.read_text().startswith(".so ")]


def test_what_a_page_stands_for_is_there() -> None:
    for path in (ROOT / "docs/man").glob("man?/*"):
        text = path.read_text(encoding="utf-8")
        if text.startswith(".so "):
            assert (ROOT / "docs/man" / text.split()[1]).is_file()


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_mandoc_has_nothing_to_say() -> None:
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", *map(str, _pages())], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_has_nothing_to_say() -> None:
    done = subprocess.run(["groff", "-man", "-ww", "-z", *map(str, _pages())], capture_output=True, text=True)
    assert done.stderr == ""


def test_pages_that_others_are_seen_with_are_there() -> None:
    there = {path.name for path in (ROOT / "docs/man").glob("man?/*")}
    elsewhere = {"mailx.1"}
    for source in man_pages.SOURCES.glob("*.txt"):
        _, _, seen = source.read_text(encoding="utf-8").partition("SEE ALSO\n")
        for word in seen.replace(",", " ").split():
            name, _, section = word.rstrip(")").partition("(")
            assert f"{name}.{section}" in there | elsewhere, f"{source.name}: {word}"


def test_a_line_of_capitals_is_a_heading_only_below_an_empty_one() -> None:
    sections = man_pages._sections(["", "ACTIONS", "BCC", "    One.", "DUNNO", "    Nothing.", "", "SEE ALSO", "x(1)"])
    assert list(sections) == ["ACTIONS", "SEE ALSO"]
