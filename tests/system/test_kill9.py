"""The short form of `./dev crash`, with the same dice each time: it is `./dev crash` that looks for new ones."""

import pytest

from tests.system.kill9 import play


def test_nothing_acknowledged_is_lost_by_kill_9() -> None:
    result = play(1, kills=4, messages=600)
    print(result)
    assert result.lost == (), result
    assert result.acknowledged >= 600
    assert len(result.kills) == 4


IN_FLIGHT = 100
"""Messages per kill that may come twice: what was on its way to the sink, or taken and not yet committed."""


@pytest.mark.parametrize("workers", [2, 3])
def test_the_brothers_of_a_killed_worker_deliver_what_it_had(workers: int) -> None:
    result = play(workers, kills=3, messages=400, workers=workers)
    print(result)
    assert result.lost == (), result
    assert (result.arrived, result.queued) == (result.acknowledged, 0), result
    assert result.duplicates <= 3 * IN_FLIGHT, result
