"""The figures in README.md that are made from the source: `./dev pages` fills what stands between the markers.

<!-- parameters -->N act, N missing, N no effect<!-- /parameters -->
<!-- rfcs -->
a table of the RFCs by state
<!-- /rfcs -->
"""

import re
import sys
from pathlib import Path

from posthouse.config.effect import count_states
from tools import rfc

README = Path(__file__).resolve().parent.parent / "README.md"


def parameters() -> str:
    """How many parameters are in each state."""
    counts = count_states()
    return f"{counts['acts']} act, {counts['missing']} missing, {counts['no effect']} no effect"


def rfcs() -> str:
    """The index in four lines."""
    lines = ["", "| state | RFCs |", "|---|---|"]
    for state in rfc.STATES:
        numbers = [str(row.number) for row in rfc.rows() if row.state == state]
        lines.append(f"| {state} ({len(numbers)}) | {', '.join(numbers)} |")
    return "\n".join([*lines, ""])


def filled(text: str) -> str:
    """The README's text with its figures as they are now."""
    for name, value in (("parameters", parameters()), ("rfcs", rfcs())):
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        text = re.sub(f"{begin}.*?{end}", f"{begin}{value}{end}", text, flags=re.DOTALL)
    return text


def main() -> int:
    """Fill it."""
    text = README.read_text(encoding="utf-8")
    if filled(text) != text:
        README.write_text(filled(text), encoding="utf-8")
        print("README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
