"""The module posthouse/config/catalog/rows.py: the rows of all families in one constant. `./dev pages` writes it.

The families are what people read and edit. Every command needs the catalog when it starts, and
one module of constants loads in a third of the time of twenty. A house test says when it is stale.
"""

import sys
from importlib import import_module
from pathlib import Path

from posthouse.config.catalog.parameters import ADDED_FAMILIES, FAMILIES

PATH = Path(__file__).resolve().parent.parent / "posthouse" / "config" / "catalog" / "rows.py"
HEAD = '''"""Made by tools/catalog.py from the families beside it (`./dev pages`); do not edit: family, and its rows."""

# ruff: noqa: E501
# fmt: off
ROWS: tuple[tuple[str, tuple[tuple[str, str, str, int, int], ...]], ...] = (
'''


def text() -> str:
    """The module as it should be."""
    lines = []
    for family in (*FAMILIES, *ADDED_FAMILIES):
        rows = import_module(f"posthouse.config.catalog.{family}").PARAMETERS
        lines.append(f'    ("{family}", (\n')
        lines += (f"        {row!r},\n" for row in rows)
        lines.append("    )),\n")
    return HEAD + "".join(lines) + ")\n"


def stale() -> bool:
    """Whether the file is not what the families say."""
    return not PATH.exists() or PATH.read_text(encoding="utf-8") != text()


def main() -> int:
    """Write it when it is stale."""
    if stale():
        PATH.write_text(text(), encoding="utf-8")
        print("posthouse/config/catalog/rows.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
