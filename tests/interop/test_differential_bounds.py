"""Values that a program refuses to start with: the real daemons and ours, `./dev differential bounds`.

tests/golden/differential holds what the real ones said: programs.tsv, which parameters each reads when it starts, and
bounds.tsv, what it says of bad values. tests/unit/config/test_programs.py holds ours against that without Postfix.
`python -m tests.interop.test_differential_bounds` records both anew.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st

from posthouse.config.catalog.parameters import FAMILIES, Catalog
from posthouse.config.configuration import Configuration
from posthouse.config.everywhere import EVERYWHERE
from posthouse.config.programs import check_program
from tests.interop.differential import generated, scarce, tried
from tests.interop.fair_choice import one_of
from tests.interop.real_daemon import PROGRAMS, SBIN, RealDaemon

pytestmark = pytest.mark.skipif(
    not (SBIN / "smtpd").exists() or os.geteuid() != 0,
    reason="needs root and postfix (Debian: apt-get install postfix)",
)

GOLDEN = Path(__file__).parents[1] / "golden" / "differential"
CATALOG = Catalog(*FAMILIES)
VALUES = {
    "bool": ("?", "YES", "true", "1", ""),
    "int": (
        "?",
        "-1",
        "0",
        "+5",
        "5 5",
        "0x10",
        "1.5",
        "7s",
        "2147483647",
        "2147483648",
        "-2147483649",
        "99999999999999999999",
        "",
    ),
    "time": (
        "?",
        "-1",
        "0",
        "0s",
        "1y",
        "1.5h",
        "5 5",
        "5m5",
        "1H",
        "25000d",
        "2147483647",
        "2147483648",
        "99999999999",
        "s",
        "",
    ),
    "string": ("",),
    "raw": ("",),
}
"""Bad values, and odd good ones, by the kind of the parameter."""

NAMED = re.compile(r"(?:configuration: |parameter |bad string length .*: )(\S+?):? ")


def read_golden(name: str) -> list[list[str]]:
    """The rows of a recorded file."""
    return [line.split("\t") for line in (GOLDEN / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def daemon() -> Iterator[RealDaemon]:
    """One place for all."""
    made = RealDaemon()
    yield made
    made.close()


PROGRAMS_READ = {program: names.split() for program, names in read_golden("programs.tsv")}
ROWS = [
    (program, *row)
    for row in read_golden("bounds.tsv")
    for program, names in PROGRAMS_READ.items()
    if row[0] in names
]  # fmt: skip


@generated(one_of(ROWS), 0.4, 60)
def test_recorded_refusals_are_the_real_daemons(daemon: RealDaemon, row: tuple[str, str, str, str]) -> None:
    program, name, value, text = row
    tried("bounds", (program,))
    said = daemon.complaint(program, {name: value})
    assert said == text if text else name not in said, row


TIMES = st.text("0123456789smhdw +-.", max_size=6).map(str.strip).filter(lambda text: not text.startswith("--"))
NUMBERS = st.text("0123456789 +-x.", max_size=12).map(str.strip)


@generated(
    st.one_of(st.tuples(st.just("smtp_helo_timeout"), TIMES), st.tuples(st.just("smtp_line_length_limit"), NUMBERS)),
    0.2,
    40,
)
def test_numbers_and_times_are_read_alike(daemon: RealDaemon, made: tuple[str, str]) -> None:
    name, value = made
    tried("numbers", (name,))
    said = daemon.complaint("smtp", {name: value})
    configuration = Configuration(
        "/nonexistent", {"compatibility_level": "3.6", "myhostname": "real.test", name: value}
    )
    found = next((text for _, text in check_program(configuration, "smtp")), "")
    assert found == (said if name in said else "")


def test_every_program_was_tried() -> None:
    assert scarce("bounds", ["smtpd", "smtp"]) == []


# Recording


def reads(daemon: RealDaemon, program: str, skipped: set[str]) -> Iterator[str]:
    """The parameters that the program reads when it starts, in its order: all are bad, and what it names is mended."""
    for kinds, bad in ((("bool", "int", "time"), "?"), (("string", "raw"), "")):
        left = [name for name in CATALOG if CATALOG[name].kind in kinds and name not in skipped]
        while True:
            match = NAMED.search(daemon.complaint(program, dict.fromkeys(left, bad)) + " ")
            if match is None or match[1] not in left:
                break
            left.remove(match[1])
            yield match[1]


def silent(daemon: RealDaemon) -> set[str]:
    """The parameters that every program reads before it can say anything in the log."""
    found = set(EVERYWHERE)
    for name in CATALOG:
        if CATALOG[name].kind in {"string", "raw"} and not daemon.complaint("error", {name: ""}):
            found.add(name)
    return found


def record() -> None:
    """Write both files."""
    GOLDEN.mkdir(exist_ok=True)
    daemon = RealDaemon()
    skipped = silent(daemon)
    programs: dict[str, list[str]] = {}
    bounds: dict[tuple[str, str], str] = {}
    for program in PROGRAMS:
        fine = daemon.complaint(program, {})
        programs[program] = list(reads(daemon, program, skipped))
        for name in programs[program]:
            for value in VALUES[CATALOG[name].kind]:
                if (name, value) not in bounds:
                    said = daemon.complaint(program, {name: value})
                    bounds[name, value] = "" if said == fine else said
    rows = (f"{program}\t{' '.join(names)}\n" for program, names in programs.items() if names)
    (GOLDEN / "programs.tsv").write_text("".join(rows))
    (GOLDEN / "bounds.tsv").write_text("".join(f"{n}\t{v}\t{text}\n" for (n, v), text in sorted(bounds.items())))
    daemon.close()


if __name__ == "__main__":
    record()
