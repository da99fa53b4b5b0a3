"""Delivery status filters."""

from pathlib import Path

import pytest

from posthouse.config.configuration import Configuration
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.schedule.status_filter import StatusFilter, open_status_filter


def status_filter(tmp_path: Path, rules: str, warnings: list[str]) -> StatusFilter:
    (tmp_path / "rules").write_text(rules)
    values = {"compatibility_level": "3.6", "default_delivery_status_filter": f"regexp:{tmp_path}/rules"}
    found = open_status_filter("smtp", Configuration("/nonexistent", values, {}), warnings.append)
    assert found is not None
    return found


def outcome(status: str, reason: str, parts: tuple[Outcome, ...] = ()) -> Outcome:
    fate = {"2": Fate.DELIVERED, "4": Fate.DEFERRED, "5": Fate.BOUNCED}[status[0]]
    return Outcome(0, fate, Dsn(status, reason), "relay", parts=parts)


@pytest.mark.parametrize(
    ("rules", "given", "made"),
    [
        (r"/^4(\.2\.0 .*)/ 5$1", ("4.2.0", "later"), ("5.2.0", "later", Fate.BOUNCED)),
        (r"/^5\.1\.1 .*/ 4.3.0 not yet", ("5.1.1", "unknown user"), ("4.3.0", "not yet", Fate.DEFERRED)),
        (
            r"/^2(.*) delivered to file/ 2$1 filed",
            ("2.0.0", "delivered to file: x"),
            ("2.0.0", "filed", Fate.DELIVERED),
        ),
        (r"/^9/ 5.0.0 no", ("4.2.0", "later"), ("4.2.0", "later", Fate.DEFERRED)),
    ],
)
async def test_a_table_has_the_last_word(
    tmp_path: Path, rules: str, given: tuple[str, str], made: tuple[str, str, Fate]
) -> None:
    warnings: list[str] = []
    (found,) = await status_filter(tmp_path, rules, warnings).applied([outcome(*given)])
    assert (found.dsn.status, found.dsn.reason, found.fate) == made and warnings == []


@pytest.mark.parametrize("value", ["5", "5.x.0 no", "2.0.0 sent", "later"])
async def test_what_is_no_status_or_makes_a_success_of_a_failure_is_warned_of(tmp_path: Path, value: str) -> None:
    warnings: list[str] = []
    given = outcome("4.2.0", "later")
    assert await status_filter(tmp_path, f"/^4/ {value}", warnings).applied([given]) == [given]
    assert warnings == [f"smtp_delivery_status_filter: bad status code: {value}"]


async def test_the_parts_of_a_recipient_are_changed_and_the_whole_follows(tmp_path: Path) -> None:
    parts = (outcome("2.0.0", "delivered"), outcome("4.2.0", "later"))
    (found,) = await status_filter(tmp_path, r"/^4.2.0 (.*)/ 5.7.0 given up: $1", []).applied(
        [outcome("4.2.0", "later", parts)]
    )
    assert (found.fate, found.dsn.reason) == (Fate.BOUNCED, "given up: later")
    assert [part.fate for part in found.parts] == [Fate.DELIVERED, Fate.BOUNCED]


def test_agents_without_a_parameter_have_no_filter() -> None:
    values = {"compatibility_level": "3.6", "default_delivery_status_filter": "static:x"}
    assert open_status_filter("discard", Configuration("/nonexistent", values, {}), print) is None
