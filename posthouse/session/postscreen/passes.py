"""The five tests, and until when a client's passes hold.

    pregreet;dnsbl;pipelining;non_smtp_command;bare_newline     1795609009;1;0;0;0

Each number is the second at which the pass ends. NEVER is a test that the client has yet to pass; OFF is
one that was switched off when the client was last here, so that switching it on makes nobody a stranger.
"""

from collections.abc import Iterable

from posthouse.session.postscreen.settings import PostscreenSettings
from posthouse.session.postscreen.trials import DNSBL, EARLY, TESTS

NEVER = 0
OFF = 1
DIGITS = 12
"""Digits of one number: seconds until the year 33,658."""


def parse_passes(text: str) -> list[int] | None:
    """What a line of the cache says; tests that an older program did not know were off. None: it is no such line."""
    words = text.split(";")
    if not 1 <= len(words) <= len(TESTS):
        return None
    if not all(word.isascii() and word.isdigit() and len(word) <= DIGITS for word in words):
        return None
    return [int(word) for word in words] + [OFF] * (len(TESTS) - len(words))


def format_passes(until: Iterable[int]) -> str:
    """A line of the cache."""
    return ";".join([str(moment) for moment in until])


class EnabledTests:
    """Which tests a configuration asks for, and for how long passes hold."""

    def __init__(self, settings: PostscreenSettings) -> None:
        on = (
            bool(settings.postscreen_greet_banner),
            bool(settings.postscreen_dnsbl_sites),
            settings.postscreen_pipelining_enable,
            settings.postscreen_non_smtp_command_enable,
            settings.postscreen_bare_newline_enable,
        )
        self.on = frozenset(test for test in TESTS if on[test])
        self.ttl = (
            settings.postscreen_greet_ttl,
            settings.postscreen_dnsbl_max_ttl,
            settings.postscreen_pipelining_ttl,
            settings.postscreen_non_smtp_command_ttl,
            settings.postscreen_bare_newline_ttl,
        )
        self.shortest_ttl = min(settings.postscreen_dnsbl_min_ttl, *(self.ttl[test] for test in TESTS if test != DNSBL))
        """How long a failed test that is ignored is left out."""

    def due(self, until: list[int], now: float) -> set[int]:
        """The tests whose pass has ended. With one of the early ones due, the DNS lists are asked in any case: one more
        answer costs no more waiting."""
        due = {test for test in self.on if now > until[test]}
        if due & EARLY and DNSBL in self.on:
            due.add(DNSBL)
        return due

    def is_new(self, until: list[int]) -> bool:
        """Whether there is a test that the client never passed."""
        return any(until[test] == NEVER for test in self.on)

    def kept(self, until: list[int]) -> str:
        """The line for the cache."""
        return format_passes([OFF if u == NEVER and test not in self.on else u for test, u in enumerate(until)])

    def outlived(self, until: list[int], moment: float) -> bool:
        """Whether a pass ended before the moment: then the line may go."""
        return any(moment > until[test] for test in self.on)
