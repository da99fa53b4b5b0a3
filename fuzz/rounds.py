"""What every program here does: seeds, changed at random, into one check, until the time is over.

    ./dev fuzz PARSER SECONDS        python fuzz/PARSER.py SECONDS [SEED]

A failure prints the seed, the round and the bytes; the same seed finds it again. PARSER.py has
SEEDS, ALPHABET and check(data, source).
"""

import random
import sys
import time
from collections.abc import Callable, Sequence

Check = Callable[[bytes, random.Random], None]


def changed(seeds: Sequence[bytes], alphabet: bytes, source: random.Random) -> bytes:
    """A seed with up to eight insertions, deletions and pieces of other seeds."""
    result = bytearray(source.choice(seeds))
    for _ in range(source.randint(1, 8)):
        place = source.randint(0, len(result))
        action = source.randint(0, 2)
        if action == 0:
            result.insert(place, source.choice(alphabet))
        elif action == 1 and place < len(result):
            del result[place : place + source.randint(1, 10)]
        else:
            piece = source.choice(seeds)
            result[place:place] = piece[: source.randint(0, len(piece))]
    return bytes(result)


def run(seeds: Sequence[bytes], alphabet: bytes, check: Check, seed: int, enough: Callable[[int], bool]) -> int:
    """Check until enough(rounds); returns how many rounds it were. What check raises is raised, with its input told."""
    source = random.Random(seed)  # noqa: S311 - repeatable on purpose
    rounds = 0
    while not enough(rounds):
        data = changed(seeds, alphabet, source)
        try:
            check(data, source)
        except BaseException:
            print(f"seed {seed}, round {rounds}: {data!r}", file=sys.stderr)
            raise
        rounds += 1
    return rounds


def main(seeds: Sequence[bytes], alphabet: bytes, check: Check) -> None:
    """SECONDS [SEED] from the command line."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    end = time.monotonic() + seconds
    rounds = run(seeds, alphabet, check, seed, lambda _: time.monotonic() >= end)
    print(f"{rounds} rounds, seed {seed}: nothing found")
