"""What each program refuses to start with, held against what the programs of Postfix 3.7.11 said (tests/golden)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.programs import PROGRAMS, TYPES, check_program, require_program
from posthouse.config.settings import read_value

GOLDEN = Path(__file__).parents[2] / "golden" / "differential"
MAIN = {"compatibility_level": "3.6", "myhostname": "real.test", "virtual_mailbox_base": "/boxes"}


def rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (GOLDEN / name).read_text().splitlines()]


READ = {program: tuple(names.split()) for program, names in rows("programs.tsv")}
BOUNDS: dict[str, list[tuple[str, str]]] = {}
for parameter, bad, complaint in rows("bounds.tsv"):
    BOUNDS.setdefault(parameter, []).append((bad, complaint))


def complaint_about(name: str, value: str) -> str:
    configuration = Configuration("/etc/postfix", {**MAIN, name: value})
    if name == "virtual_mailbox_base":  # its default is too short: only who empties it is told
        return next((text for _, text in check_program(configuration, "virtual")), "")
    try:
        read_value(configuration, name, TYPES[PARAMETERS[name].kind])
    except ConfigError as error:
        return error.text
    return ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_reads_what_postfixs_reads_in_its_order(program: str) -> None:
    assert READ[program] == PROGRAMS[program]


@pytest.mark.parametrize("name", BOUNDS)
def test_values_are_refused_as_postfix_refuses_them(name: str) -> None:
    assert BOUNDS[name] == [(value, complaint_about(name, value)) for value, _ in BOUNDS[name]]


def test_a_program_starts_with_the_defaults() -> None:
    configuration = Configuration("/etc/postfix", MAIN)
    assert {program: list(check_program(configuration, program)) for program in PROGRAMS} == {p: [] for p in PROGRAMS}


def test_the_first_bad_one_in_its_order_is_told() -> None:
    first, second = PROGRAMS["smtp"][:2]
    configuration = Configuration("/etc/postfix", {**MAIN, second: "x", first: "y"})
    with pytest.raises(ConfigError, match=f"parameter {first}: bad time value or unit: y"):
        require_program(configuration, "smtp")


def test_what_a_program_does_not_read_does_not_stop_it() -> None:
    configuration = Configuration("/etc/postfix", {**MAIN, "smtp_helo_timeout": "x"})
    require_program(configuration, "smtpd")
    require_program(configuration, "nobody")


@given(st.sampled_from(sorted(BOUNDS)), st.text())
def test_any_value_is_taken_or_refused(name: str, value: str) -> None:
    complaint = complaint_about(name, value.replace("$", ""))
    assert not complaint or name in complaint
