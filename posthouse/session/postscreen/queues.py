"""How many clients there are: in the tests, waiting for an SMTP server, of each address; and when that is stress.

connected ----> tests ----> waiting ----> SMTP server
                '------ pre-queue ------'  (no more counted here)
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from posthouse.session.postscreen.passes import NEVER
from posthouse.session.postscreen.trials import TESTS

STRESS_BEGINS, STRESS_ENDS = 0.9, 0.7
"""Parts of postscreen_pre_queue_limit, as in Postfix."""


@dataclass(slots=True)
class Known:
    """What sessions of one address that are here at once share."""

    open: int = 0
    until: list[int] = field(default_factory=lambda: [NEVER] * len(TESTS))
    passed: int = 0
    """How often a session of it has passed as new: the second one is an old friend."""


class Queues:
    """The counts of one listener."""

    def __init__(self, pre_queue_limit: int, log: Callable[[str], None]) -> None:
        self._begins = int(STRESS_BEGINS * pre_queue_limit)
        self._ends = int(STRESS_ENDS * pre_queue_limit)
        self._log = log
        self._clients: dict[str, Known] = {}
        self.here = 0
        """Sessions that no SMTP server has taken over."""
        self.waiting = 0
        """Those of them that wait for one."""
        self.stress = False

    def enter(self, address: str) -> Known:
        """One more connection."""
        self.here += 1
        if not self.stress and self.here >= self._begins:
            self.stress = True
            self._log(f"entering STRESS mode with {self.here} connections")
        known = self._clients.get(address)
        if known is None:
            known = self._clients[address] = Known()
        known.open += 1
        return known

    def leave(self, address: str) -> None:
        """One fewer."""
        self.here -= 1
        if self.stress and self.here <= self._ends:
            self.stress = False
            self._log(f"leaving STRESS mode with {self.here} connections")
        known = self._clients[address]
        known.open -= 1
        if not known.open:
            del self._clients[address]
