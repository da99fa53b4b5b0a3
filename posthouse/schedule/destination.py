"""A destination: one nexthop of one transport, its window and its health.

The window is how many deliveries may run at once. It starts at initial_concurrency, grows
with each success up to the limit, shrinks with each failure of the destination as a whole,
and closes for minimal_backoff_time when failed_cohort_limit windows in a row failed. With a
rate delay the window is one, and a pause follows each delivery.
"""

from collections import deque

from posthouse.envelope.outcome import Dsn
from posthouse.envelope.request import QueuedRecipient
from posthouse.schedule.active import ActiveMessage
from posthouse.schedule.feedback import Feedback
from posthouse.schedule.settings import TransportSettings

_EPSILON = 1e-6
"""Ten times 0.1 must count as one."""


class Entry:
    """One delivery: some recipients of one message for one destination."""

    __slots__ = ("active", "destination", "large", "recipients")

    def __init__(
        self, active: ActiveMessage, destination: "Destination", recipients: tuple[QueuedRecipient, ...], large: bool
    ) -> None:
        self.active = active
        self.destination = destination
        self.recipients = recipients
        self.large = large
        """Whether the message has so many deliveries that others may overtake it."""


Job = deque[Entry]
"""The entries of one message for one destination."""


class Destination:
    """One destination with the deliveries that wait for it."""

    __slots__ = (
        "_failure",
        "_negative",
        "_positive",
        "_settings",
        "_success",
        "busy",
        "dead_until",
        "failed_cohorts",
        "listed",
        "name",
        "nexthop",
        "paused_until",
        "suspension",
        "todo",
        "window",
    )

    def __init__(
        self, name: str, nexthop: str, settings: TransportSettings, positive: Feedback, negative: Feedback
    ) -> None:
        self.name = name
        self.nexthop = nexthop
        self._settings = settings
        self._positive = positive
        self._negative = negative
        self.todo: deque[Job] = deque()
        """Jobs that take turns."""
        self.busy = 0
        self.listed = False
        """Whether it stands in its transport's list of those that can start a delivery."""
        self.window = 1
        self._success = 0.0
        self._failure = 0.0
        self.failed_cohorts = 0.0
        self.dead_until = 0.0
        """Steady time until which nothing is tried; 0 when it is alive."""
        self.paused_until = 0.0
        self.suspension: Dsn | None = None
        """Why it is dead."""
        self.revive()

    def revive(self) -> None:
        """Begin anew."""
        limit = self._settings.concurrency_limit
        initial = max(self._settings.initial_concurrency, 1)
        self.window = 1 if self._settings.rate_delay else (min(initial, limit) if limit else initial)
        self._success = self._failure = self.failed_cohorts = 0.0
        self.dead_until = 0.0
        self.suspension = None

    @property
    def can_start(self) -> bool:
        """Whether a delivery waits and may start."""
        return bool(self.todo) and self.busy < self.window and not self.dead_until and not self.paused_until

    @property
    def idle(self) -> bool:
        """Whether it can be forgotten."""
        return not (self.todo or self.busy or self.dead_until or self.paused_until)

    def pop(self) -> Entry:
        """The next delivery; the jobs take turns."""
        job = self.todo.popleft()
        entry = job.popleft()
        if job:
            self.todo.append(job)
        return entry

    def succeeded(self) -> None:
        """Positive feedback."""
        self.failed_cohorts = 0.0
        settings = self._settings
        if settings.rate_delay or (settings.concurrency_limit and self.window >= settings.concurrency_limit):
            return
        # A window that is not used does not grow: it would say nothing about what the destination can take.
        if self.window >= self.busy + settings.initial_concurrency:
            return
        self._success += self._positive.at(self.window)
        while self._success + _EPSILON >= 1:
            self.window += 1
            self._success -= 1
            self._failure = 0.0

    def failed(self, dsn: Dsn, dead_until: float) -> bool:
        """Negative feedback; True when the destination is dead from now on."""
        if self.dead_until:
            return False
        self.failed_cohorts += 1 / max(self.window, 1)
        limit = self._settings.failed_cohort_limit
        if limit > 0 and self.failed_cohorts + _EPSILON >= limit:
            self.dead_until = dead_until
            self.suspension = dsn
            return True
        self._failure -= self._negative.at(self.window)
        while self._failure < -_EPSILON:
            self.window = max(self.window - 1, 1)
            self._failure += 1
            self._success = 0.0
        return False
