"""What the house says and does about an RFC: `./dev rfc 5321` prints its row of the index and the places that cite it.

The index is docs/rfc-index.tsv: number, title, state, what is missing or why not, and the rooms that cite it.

    Yes       done, save what an RFC leaves open
    Partial   the part that is named, or all but what is named
    Planned   wanted, nothing done
    No        not wanted, with the reason where there is one

A house test holds it against the source: every RFC cited stands in it, and what is done is cited somewhere.
"""

import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INDEX = ROOT / "docs" / "rfc-index.tsv"
HEADING = "number\ttitle\tstate\tmissing\trooms"
STATES = ("Yes", "Partial", "Planned", "No")
CITATION = re.compile(r"\bRFC (\d{3,5})\b")


@dataclass(frozen=True, slots=True)
class Row:
    """One RFC."""

    number: int
    title: str
    state: str
    missing: str
    rooms: tuple[str, ...]


def rows() -> list[Row]:
    """The index as written. Raises ValueError for a line that is none."""
    heading, *lines = INDEX.read_text(encoding="utf-8").splitlines()
    if heading != HEADING:
        raise ValueError(f"{INDEX.name}: the heading is not {HEADING!r}")
    found = []
    for line in lines:
        number, title, state, missing, rooms = line.split("\t")
        found.append(Row(int(number), title, state, missing, tuple(rooms.split())))
    return found


def citations() -> dict[int, list[tuple[Path, int, str]]]:
    """RFC number to (file, line number, line) of each citation in the program's source."""
    found: dict[int, list[tuple[Path, int, str]]] = defaultdict(list)
    for path in sorted((ROOT / "posthouse").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "RFC " not in text:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for rfc in CITATION.findall(line):
                found[int(rfc)].append((path.relative_to(ROOT), number, line.strip()))
    return found


def rooms_of(places: list[tuple[Path, int, str]]) -> tuple[str, ...]:
    """The rooms that these places are in."""
    return tuple(sorted({path.parts[1] for path, _, _ in places}))


def main(arguments: list[str]) -> int:
    """Print one RFC, or bring the column of rooms up to date (--rooms)."""
    cited = citations()
    if arguments == ["--rooms"]:
        lines = [HEADING]
        for row in rows():
            where = " ".join(rooms_of(cited.get(row.number, [])))
            lines.append(f"{row.number}\t{row.title}\t{row.state}\t{row.missing}\t{where}")
        INDEX.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return 0
    if len(arguments) != 1 or not arguments[0].isdecimal():
        print("usage: ./dev rfc NUMBER", file=sys.stderr)
        return 2
    wanted = int(arguments[0])
    found = [row for row in rows() if row.number == wanted]
    for row in found:
        print(f"RFC {row.number}  {row.title}: {row.state}" + (f" ({row.missing})" if row.missing else ""))
    if not found:
        print(f"RFC {wanted} is not in {INDEX.relative_to(ROOT)}")
    for path, number, line in cited.get(wanted, []):
        print(f"{path}:{number}: {line}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
