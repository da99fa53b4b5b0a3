"""Deliveries to many accounts that wait together: one sync for all of them.

A round for one account is a commit that is synced. A round for several goes into the ledger, which
is synced, and then into each account without a sync; docs/decisions/0007-a-ledger-for-rounds.md says
why that is safe.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from posthouse.mailbox.index.delivery import Delivery
from posthouse.mailbox.index.rows import AccountFile
from posthouse.mailbox.native.deposit import Deposit, make, plan
from posthouse.mailbox.native.layout import sync_folder
from posthouse.mailbox.native.ledger import Ledger
from posthouse.mailbox.store import Delivered


class DeliveryRounds:
    """Implements index/lanes.py's Rounds."""

    def __init__(
        self, ledger: Ledger, clock: Callable[[], float], *, sync: Callable[[int], None] = os.fdatasync
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sync = sync

    def commit(self, offers: Sequence[tuple[AccountFile, Sequence[Delivery]]]) -> list[list[Delivered] | None]:
        """Durable where it is not None."""
        planned = [(file, _planned(file, deliveries)) for file, deliveries in offers]
        deposits = [deposit for _, deposit in planned if deposit is not None]
        shared = len(deposits) > 1 and self._ledger.usable
        if shared:
            try:
                self._ledger.append(self._clock(), deposits)
            except OSError:
                shared = False  # each account's own sync, then; a full disk is told by the lane
        found: list[list[Delivered] | None] = []
        for file, deposit in planned:
            made = None
            if deposit is not None:
                file.sync_commits(not shared)
                made = make(file, deposit)
            found.append(made)
        return found

    def settle(self, file: AccountFile) -> None:
        """Sync an account's WAL: it holds every commit that no checkpoint has carried (and synced) into the database.
        SQLite's locks are on the database and the -shm file, so that closing another descriptor here drops none."""
        try:
            descriptor = os.open(f"{file.connection.filename}-wal", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            pass  # all is in the database
        else:
            try:
                self._sync(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(Path(file.connection.filename).parent)  # no sync of ours made the WAL's name last
        file.owing = False
        self._ledger.settled(file.account)

    def due(self) -> Sequence[str]:
        """Accounts that should be settled."""
        return self._ledger.due()

    def close(self) -> None:
        """All files are closed."""
        self._ledger.close()


def _planned(file: AccountFile, deliveries: Sequence[Delivery]) -> Deposit | None:
    try:
        return plan(file, deliveries)
    except apsw.Error:
        file.known = None
        return None
