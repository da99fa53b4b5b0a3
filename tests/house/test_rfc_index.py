"""docs/rfc-index.tsv tells what the source does about each RFC, and nothing else."""

import pytest

from tools import rfc

ROWS = rfc.rows()
CITED = rfc.citations()


def test_every_rfc_stands_in_it_once_and_in_order() -> None:
    numbers = [row.number for row in ROWS]
    assert numbers == sorted(set(numbers))


def test_every_state_is_one_of_four() -> None:
    assert [row for row in ROWS if row.state not in rfc.STATES] == []


def test_what_is_partial_says_which_part() -> None:
    assert [row.number for row in ROWS if row.state == "Partial" and not row.missing] == []


def test_every_rfc_that_the_source_cites_is_in_it() -> None:
    known = {row.number for row in ROWS}
    missing = {number: f"{places[0][0]}:{places[0][1]}" for number, places in CITED.items() if number not in known}
    assert missing == {}


def test_what_is_done_is_cited_where_it_is_done() -> None:
    assert [row.number for row in ROWS if row.state in ("Yes", "Partial") and row.number not in CITED] == []


def test_the_rooms_named_cite_it() -> None:
    wrong = {
        row.number: strangers
        for row in ROWS
        if (strangers := set(row.rooms) - set(rfc.rooms_of(CITED.get(row.number, []))))
    }
    assert wrong == {}, "python -m tools.rfc --rooms mends it"


def test_the_recipe_prints_the_row_and_the_places(capsys: pytest.CaptureFixture[str]) -> None:
    assert rfc.main(["1870"]) == 0
    first, *places = capsys.readouterr().out.splitlines()
    assert first == "RFC 1870  SMTP Service Extension for Message Size Declaration: Yes"
    assert any(place.startswith("posthouse/wire/smtp/") for place in places)


def test_the_recipe_refuses_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert rfc.main(["smtp"]) == 2
    assert capsys.readouterr().err == "usage: ./dev rfc NUMBER\n"
