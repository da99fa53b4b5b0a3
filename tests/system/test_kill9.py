"""The short form of `./dev crash`."""

import random

from tests.system.kill9 import play


def test_nothing_acknowledged_is_lost_by_kill_9() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    result = play(seed, kills=4, messages=600)
    print(result)
    assert result.lost == (), f"seed {seed}: {result}"
    assert result.acknowledged >= 600
    assert len(result.kills) == 4
