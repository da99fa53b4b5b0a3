"""The end of a session in the log's words.

lost connection after RETR from mail.example[192.0.2.7]
disconnect from mail.example[192.0.2.7] user=1 pass=1 retr=2 quit=1 commands=5
"""

from collections.abc import Mapping

COUNTED = (
    "stls",
    "capa",
    "user",
    "pass",
    "apop",
    "auth",
    "stat",
    "list",
    "uidl",
    "retr",
    "top",
    "dele",
    "rset",
    "noop",
    "quit",
    "unknown",
)
"""The order of counters."""

Tally = Mapping[str, tuple[int, int]]
"""Commands that succeeded, and all, by verb in lower case."""


def add(first: Tally, second: Tally) -> dict[str, tuple[int, int]]:
    """The counts of both halves of a session."""
    both = dict(first)
    for verb, (good, total) in second.items():
        before = both.get(verb, (0, 0))
        both[verb] = (before[0] + good, before[1] + total)
    return both


def written(tally: Tally) -> str:
    """ "user=1 pass=1/2 commands=2/3"."""
    known = [(verb, *tally[verb]) for verb in COUNTED if verb in tally]
    known.append(("commands", sum(good for _, good, _ in known), sum(total for _, _, total in known)))
    return " ".join(
        f"{name}={good}" if good == total and total else f"{name}={good}/{total}" for name, good, total in known
    )
