"""Content of fresh mail, kept until it is delivered or others need the room.

posthouse_body_memory bounds the bytes; the oldest goes first, and is read back from its row.
"""

from collections import OrderedDict

from posthouse.envelope.content import Content, MemoryBody


class BodyMemory:
    """Contents by queue id."""

    __slots__ = ("_contents", "bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._contents: OrderedDict[str, Content] = OrderedDict()

    def add(self, queue_id: str, content: Content) -> None:
        """Keep a content. Bodies in files cost their header only."""
        self.drop(queue_id)
        self._contents[queue_id] = content
        self.bytes += _cost(content)
        while self.bytes > self.limit and self._contents:
            _, oldest = self._contents.popitem(last=False)
            self.bytes -= _cost(oldest)

    def get(self, queue_id: str) -> Content | None:
        """The content, or None when it must be read back."""
        return self._contents.get(queue_id)

    def drop(self, queue_id: str) -> None:
        """Forget one."""
        content = self._contents.pop(queue_id, None)
        if content is not None:
            self.bytes -= _cost(content)


def _cost(content: Content) -> int:
    return len(content.header) + (content.body.size if isinstance(content.body, MemoryBody) else 0) + 200
