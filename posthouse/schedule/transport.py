"""A transport: one delivery agent of master.cf, its destinations, and who goes next.

Destinations that can start a delivery take turns; those of a small message that may overtake
(schedule/preempt.py) stand in a list of their own that goes first.
"""

from collections import deque
from dataclasses import dataclass, field

from posthouse.envelope.request import DeliveryAgent
from posthouse.host.log import ProcessLog
from posthouse.schedule.destination import Destination, Entry, Job
from posthouse.schedule.feedback import parse_feedback
from posthouse.schedule.preempt import DeliverySlots
from posthouse.schedule.settings import TransportSettings
from posthouse.schedule.status_filter import StatusFilter


@dataclass(frozen=True, slots=True)
class TransportService:
    """One line of master.cf that is a transport, as the schedule needs it."""

    name: str
    agent: DeliveryAgent
    log: ProcessLog
    """For its log lines: the name is "postfix/smtp", "postfix/relay/smtp", …"""
    settings: TransportSettings = field(default_factory=TransportSettings)
    process_limit: int = 100
    """master.cf's maxproc: deliveries at once. 0 means no limit."""
    status_filter: StatusFilter | None = None


class Transport:
    """The state of one transport."""

    def __init__(self, service: TransportService) -> None:
        self.service = service
        self.settings = service.settings
        self._positive = parse_feedback(service.settings.positive_feedback)
        self._negative = parse_feedback(service.settings.negative_feedback)
        self.destinations: dict[str, Destination] = {}
        self._ready: deque[Destination] = deque()
        self._first: deque[Destination] = deque()
        self.slots = DeliverySlots(service.settings)
        self.lanes = 0
        self.starting = 0
        """Lanes that were made and have not run yet."""
        self.paused_until = 0.0

    def destination(self, nexthop: str, recipient: str) -> Destination:
        """The destination of a recipient. With a recipient limit of one it is the recipient, as in Postfix."""
        name = recipient if self.settings.recipient_limit == 1 else nexthop
        found = self.destinations.get(name)
        if found is None:
            found = Destination(name, nexthop, self.settings, self._positive, self._negative)
            self.destinations[name] = found
        return found

    def add(self, groups: dict[Destination, Job], deliveries: int) -> None:
        """Take the entries of one message."""
        first = self._large_is_next() and not self.slots.is_large(deliveries) and self.slots.overtake(deliveries)
        for destination, job in groups.items():
            if first:
                destination.todo.appendleft(job)
            else:
                destination.todo.append(job)
            self.list(destination, first=first)

    def _large_is_next(self) -> bool:
        return bool(self._ready) and bool(todo := self._ready[0].todo) and todo[0][0].large

    def list(self, destination: Destination, *, first: bool = False) -> None:
        """Let a destination take its turn if it can start a delivery."""
        if not destination.listed and destination.can_start:
            destination.listed = True
            (self._first if first else self._ready).append(destination)

    @property
    def lanes_wanted(self) -> int:
        """How many more lanes could start a delivery now."""
        if self.paused_until:
            return 0
        wanted = len(self._ready) + len(self._first) - self.starting
        limit = 1 if self.settings.transport_rate_delay else self.service.process_limit
        return min(wanted, limit - self.lanes) if limit else wanted

    def take(self) -> Entry | None:
        """The next delivery to start."""
        if self.paused_until:
            return None
        while self._first or self._ready:
            destination = (self._first or self._ready).popleft()
            destination.listed = False
            if not destination.can_start:
                continue
            entry = destination.pop()
            destination.busy += 1
            if entry.large:
                self.slots.delivered()
            self.list(destination)
            return entry
        return None

    def forget(self, destination: Destination) -> None:
        """Drop the state of an idle destination."""
        if destination.idle:
            self.destinations.pop(destination.name, None)
