"""The changes to a message that a milter's answer to its end asks for, and the body it is shown."""

from collections.abc import AsyncIterator, Awaitable, Callable

from posthouse.policy.milter.decision import Decision
from posthouse.wire.milter.answer import NAMES as ANSWERS
from posthouse.wire.milter.answer import Edit, ReplaceBody
from posthouse.wire.milter.command import BODY_CHUNK

Make = Callable[[Edit], Awaitable[Decision | None]]
"""Makes a change to the message; a decision when that cannot be done."""


class Edits:
    """The changes that one answer asks for."""

    __slots__ = ("_body", "_make", "allowed", "failed", "torn")

    def __init__(self, apply: Make | None) -> None:
        self._make = apply
        self._body = ""
        self.allowed = apply is not None
        self.torn = False
        """Whether a new body has begun to come."""
        self.failed: Decision | None = None
        """Why a change could not be made; what follows it is read and not made."""

    @staticmethod
    def name(edit: Edit) -> str:
        """libmilter's name of the request."""
        return ANSWERS[bytes(edit)[4:5]]

    async def make(self, edit: Edit) -> str:
        """Make a change; why the milter may not ask for it, or ""."""
        if isinstance(edit, ReplaceBody):
            self.torn = True
            if self._body == "done":
                return "body replacement requests can't currently be mixed with other requests"
            self._body = "open"
        elif self._body:
            self._body = "done"
        assert self._make is not None
        if self.failed is None:
            self.failed = await self._make(edit)
        return ""


async def rechunked(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of BODY_CHUNK, the last one shorter."""
    waiting = b""
    async for piece in pieces:
        waiting = waiting + piece if waiting else piece
        at = 0
        while len(waiting) - at >= BODY_CHUNK:
            yield waiting[at : at + BODY_CHUNK]
            at += BODY_CHUNK
        if at:
            waiting = waiting[at:]
    if waiting:
        yield waiting
