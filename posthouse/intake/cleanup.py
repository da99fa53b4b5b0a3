"""The one door into the queue: what cleanup(8) does to a message, then the commit.

The header is kept in memory and edited, the body goes to the queue's content writer as it
comes. Everything that depends on the envelope waits for commit(): a message is refused,
discarded, or durable when commit() returns.

Standards: RFC 5321 sections 4.1.1.4, 4.4 and 6.3 (loops are found by counting Received); RFC 5322 section 3.6.
"""

import time
from collections.abc import Callable

from posthouse.config.configuration import Configuration
from posthouse.host.log import ProcessLog
from posthouse.intake.room import Room, disk_space
from posthouse.intake.service import Cleanup, GiveBack, MessageStore, OnQueued
from posthouse.intake.transaction import Refused
from posthouse.intake.writing import CleanupTransaction
from posthouse.journal.journal import Journal
from posthouse.policy.milter.milters import Milters
from posthouse.routing.router import Router


class CleanupIntake:
    """Implements posthouse.intake.transaction.Intake over a QueueStore."""

    def __init__(self, cleanup: Cleanup, room: Room) -> None:
        self._cleanup = cleanup
        self._room = room

    @classmethod
    def open(
        cls,
        configuration: Configuration,
        router: Router,
        store: MessageStore,
        log: ProcessLog,
        journal: Journal | None = None,
        on_queued: OnQueued | None = None,
        *,
        internal: str = "",
        clock: Callable[[], float] = time.time,
        free_space: Callable[[], int] | None = None,
        on_expanded: GiveBack | None = None,
        milters: Milters | None = None,
    ) -> "CleanupIntake":
        """For one service: `configuration` with its -o settings, `log` as postfix/cleanup. `internal` is "" for mail
        from outside and from users, else "bounce", "notify" or "forward" (made here: no copies, no filter).
        `on_expanded` tells senders who asked for NOTIFY=SUCCESS that an alias became several recipients. `milters`
        (non_smtpd_milters) are asked about mail that did not come by SMTP, and about notices when
        internal_mail_filter_classes says so."""
        cleanup = Cleanup(
            configuration,
            router,
            store,
            log,
            journal,
            on_queued,
            internal=internal,
            clock=clock,
            on_expanded=on_expanded,
            milters=milters,
        )
        free = free_space if free_space is not None else disk_space(cleanup.settings.queue_directory)
        return cls(cleanup, Room(cleanup.settings.message_size_limit, cleanup.settings.queue_minfree, free))

    def begin(self, arrival_time: float | None = None) -> CleanupTransaction:
        """A new transaction with a queue id of its own; of a message that arrived now, or then."""
        return CleanupTransaction(self._cleanup, arrival_time)

    def now(self) -> float:
        """The time, by the clock of this door."""
        return self._cleanup.clock()

    async def room(self, size: int) -> Refused | None:
        """Whether a message of that size (0: not declared) would be refused now for want of room."""
        return self._room.refused(size)
