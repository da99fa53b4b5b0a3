"""The milters of one SMTP session, one after the other: the first decision counts.

Each milter sees the message as those before it have left it. Decisions to hold or discard the message
are kept until the transaction ends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from posthouse.policy.milter.connection import Apply, Inspected, MilterConnection
from posthouse.policy.milter.decision import Decision, Kind
from posthouse.policy.milter.macros import Value
from posthouse.wire.milter import command
from posthouse.wire.milter.packet import packet


class Editing(Inspected, Protocol):
    """A message that can be shown and changed."""

    @property
    def apply(self) -> Apply:
        """Makes one change."""

    async def done(self, connection: MilterConnection) -> Decision | None:
        """A milter has made all its changes; a decision when they cannot be kept."""


@dataclass(slots=True)
class Chain:
    """The connections of one session."""

    connections: list[MilterConnection]
    value: Value
    """The macros as the session knows them."""
    warn: Callable[[str], None]
    hold: Decision | None = None
    discard: Decision | None = None

    async def connect(self, peer: command.Peer) -> Decision | None:
        """A client connected. All milters are connected to, whatever the first of them decides."""
        found = None
        for connection in self.connections:
            if found is None:
                found = self._noted(await connection.connect(peer, self.value))
        return found

    async def helo(self, name: str) -> Decision | None:
        """HELO or EHLO."""
        return await self._ask(command.HELO, command.strings(command.HELO, _bytes(name)))

    async def mail(self, words: tuple[str, ...]) -> Decision | None:
        """MAIL: the path as the client wrote it, and its parameters."""
        return await self._ask(command.MAIL, command.strings(command.MAIL, *map(_bytes, words)))

    async def rcpt(self, words: tuple[str, ...], *, rejected: bool = False) -> Decision | None:
        """RCPT; `rejected` when it is refused anyhow."""
        data = command.strings(command.RCPT, *map(_bytes, words))
        return await self._ask(command.RCPT, data, rejected=rejected)

    async def data(self) -> Decision | None:
        """DATA, or the first BDAT."""
        return await self._ask(command.DATA, packet(command.DATA))

    async def unknown(self, line: str) -> Decision | None:
        """A command that nobody knows."""
        return await self._ask(command.UNKNOWN, command.strings(command.UNKNOWN, _bytes(line)))

    async def message(self, message: Editing, value: Value, warn: Callable[[str], None]) -> Decision | None:
        """The whole message, with the macros and the log of whoever has it."""
        outside, self.warn = self.warn, warn
        try:
            for connection in self.connections:
                decision = await connection.message(message, value, message.apply)
                if decision is None:
                    decision = await message.done(connection)
                if decision is not None:
                    return decision
            return None
        finally:
            self.warn = outside

    def abort(self) -> None:
        """The transaction is over."""
        self.hold = self.discard = None
        for connection in self.connections:
            connection.abort()

    def quit(self) -> None:
        """The session is over."""
        for connection in self.connections:
            connection.quit()

    async def _ask(self, letter: bytes, data: bytes, *, rejected: bool = False) -> Decision | None:
        if self.discard is not None:
            return None  # nothing that milters say of a message that is thrown away would count
        for connection in self.connections:
            decision = await connection.ask(letter, data, self.value, rejected=rejected)
            if decision is not None:
                return self._noted(decision)
        return None

    def _noted(self, decision: Decision | None) -> Decision | None:
        if decision is not None and decision.kind is Kind.HOLD:
            self.hold = decision
        elif decision is not None and decision.kind is Kind.DISCARD:
            self.discard = decision
        return decision


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
