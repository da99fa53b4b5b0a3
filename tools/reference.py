"""The pages docs/reference/*.md, one for each family of parameters, made from the catalog: `./dev pages` writes them.

A row is a parameter: its kind, its default as main.cf would spell it, and what it does here: it
acts, it is missing so far, or it has no effect with the reason. A house test says when a page is stale.
"""

import sys
from importlib import import_module
from pathlib import Path

from posthouse.config.catalog.no_effect import REASONS
from posthouse.config.catalog.parameters import ADDED_FAMILIES, FAMILIES, PARAMETERS
from posthouse.config.catalog.service_parameters import TIME_LIMIT_SUFFIX, TRANSPORT_SUFFIXES
from posthouse.config.effect import state
from posthouse.config.parameter import Parameter
from tools.meanings import meaning

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTICE = "<!-- Made by tools/reference.py from posthouse/config/catalog; do not edit. -->\n"
HEADINGS = "| parameter | what it is | kind | default | here |\n|---|---|---|---|---|\n"


def pages() -> dict[str, str]:
    """File name to its text."""
    found = {f"{family}.md": _family(family) for family in (*FAMILIES, *ADDED_FAMILIES)}
    found["service.md"] = _service_parameters()
    found["README.md"] = _contents()
    return found


def _title(family: str) -> str:
    text = import_module(f"posthouse.config.catalog.{family}").__doc__ or family
    return text.splitlines()[0].rstrip(".")


def _of_family(family: str) -> list[Parameter]:
    return sorted((one for one in PARAMETERS.values() if one.family == family), key=lambda one: one.name.lower())


def _family(family: str) -> str:
    rows = "".join(_row(parameter) for parameter in _of_family(family))
    return f"{NOTICE}\n# {_title(family)}\n\n{HEADINGS}{rows}"


def _row(parameter: Parameter) -> str:
    what = state(parameter.name)
    if what == "no effect":
        what = f"no effect: {REASONS[parameter.name]}"
    kind = parameter.kind
    if kind in ("int", "time") and (parameter.minimum or parameter.maximum):
        kind += f" {parameter.minimum or ''}..{parameter.maximum or ''}"
    sentence = meaning(parameter.name).replace("|", "\\|")
    return f"| `{parameter.name}` | {sentence} | {kind} | {_code(parameter.default)} | {what} |\n"


def _code(text: str) -> str:
    """A default in a table's cell."""
    return "`" + " ".join(text.split()).replace("|", "\\|") + "`" if text else "empty"


def _service_parameters() -> str:
    rows = "".join(
        f"| `TRANSPORT{ending}` | {kind} | {_code(default)} |\n"
        for ending, kind, default in (*TRANSPORT_SUFFIXES, TIME_LIMIT_SUFFIX)
    )
    return (
        f"{NOTICE}\n# What a service of master.cf brings along\n\n"
        "TRANSPORT is the service's name: a delivery agent `slow` makes `slow_destination_rate_delay`.\n\n"
        f"| parameter | kind | default |\n|---|---|---|\n{rows}"
    )


def _contents() -> str:
    lines = []
    for family in (*FAMILIES, *ADDED_FAMILIES):
        states = [state(parameter.name) for parameter in _of_family(family)]
        acts, missing = states.count("acts"), states.count("missing")
        lines.append(
            f"| [{family}]({family}.md) | {_title(family)} | {acts} | {missing} | {len(states) - acts - missing} |\n"
        )
    return (
        f"{NOTICE}\n# Parameters, by family\n\n"
        "A parameter acts, is missing so far (`postfix check` says so when it is set), or has no effect here.\n"
        "`postconf -d` prints the defaults; [service.md](service.md) has what services of master.cf bring along.\n\n"
        f"| family | what it is about | act | missing | no effect |\n|---|---|---|---|---|\n{''.join(lines)}"
    )


def stale() -> list[str]:
    """Names of pages that are not what the catalog says, and of files that are no page."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main() -> int:
    """Write what is stale."""
    wanted = pages()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale():
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
