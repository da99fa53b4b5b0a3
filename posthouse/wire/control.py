"""The control dialogue between the queue's commands and its owner: lines of JSON, without I/O.

One request a connection:

    {"do": "list"}                                          a row a line (see below)
    {"do": "flush"}  {"do": "flush", "site": "example.net"} {"do": "flush", "ids": [ID]}
    {"do": "delete" | "hold" | "release" | "requeue" | "expire", "ids": [ID…], "queues": [NAME…]}
    {"do": "cat", "ids": [ID]}                              one line: {"cat": {…}}
    {"do": "pause"}                                         start no deliveries until the connection ends
    {"do": "pickup"}                                        look into the maildrop now
    {"do": "adopt"}                                         look for shards that nobody owns now

"ids": ["ALL"] means every message of the queues. Answers are lines too, the last of them
{"end": COUNT} or {"error": TEXT}. A line before it is a row of list (an object with
"queue_id") or {"done": ID}.
"""

from __future__ import annotations

from posthouse.wire.json_text import compact_json, parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any

REQUEST_LIMIT = 1 << 20
"""Bytes in a request: some 60,000 ids. Commands ask in portions far smaller."""

IDS_LIMIT = 1000
"""Ids that a command puts in one request."""

VERBS = frozenset(
    {"list", "flush", "delete", "hold", "release", "requeue", "expire", "cat", "pause", "pickup", "adopt"}
)


class ControlProtocolError(Exception):
    """The other side does not speak this dialogue."""


class ControlRequest:
    """What a command wants done. (Written by hand: the queue's commands start without dataclasses.)"""

    __slots__ = ("do", "ids", "queues", "site")

    def __init__(self, do: str, ids: tuple[str, ...] = (), queues: tuple[str, ...] = (), site: str = "") -> None:
        self.do = do
        self.ids = ids
        self.queues = queues
        self.site = site

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ControlRequest) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    def __hash__(self) -> int:
        return hash((self.do, self.ids, self.queues, self.site))


def encode_line(value: dict[str, Any]) -> bytes:
    """One answer as a line. Undecodable bytes in text travel as their escapes."""
    return compact_json(value).encode() + b"\n"


def encode_request(request: ControlRequest) -> bytes:
    """A request as a line."""
    value: dict[str, Any] = {"do": request.do}
    if request.ids:
        value["ids"] = request.ids
    if request.queues:
        value["queues"] = request.queues
    if request.site:
        value["site"] = request.site
    return encode_line(value)


def parse_line(line: bytes) -> dict[str, Any]:
    """One line of an answer. Raises ControlProtocolError."""
    try:
        value = parse_json(line.decode())
    except (ValueError, RecursionError) as error:
        raise ControlProtocolError("not JSON") from error
    if not isinstance(value, dict):
        raise ControlProtocolError("not an object")
    return value


def parse_request(line: bytes) -> ControlRequest:
    """A request. Raises ControlProtocolError."""
    value = parse_line(line)
    verb = value.get("do")
    if not isinstance(verb, str) or verb not in VERBS:
        raise ControlProtocolError("unknown request")
    site = value.get("site", "")
    if not isinstance(site, str):
        raise ControlProtocolError("site is no text")
    return ControlRequest(verb, _texts(value, "ids"), _texts(value, "queues"), site)


def _texts(value: dict[str, Any], key: str) -> tuple[str, ...]:
    texts = value.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ControlProtocolError(f"{key} is no list of texts")
    return tuple(texts)


class LineReader:
    """Lines from bytes in any cut. A line over its limit raises ControlProtocolError."""

    def __init__(self, limit: int = REQUEST_LIMIT) -> None:
        self._limit = limit
        self._data = bytearray()
        self._seen = 0

    def receive_data(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without their end."""
        self._data += data
        end = self._data.rfind(b"\n", self._seen)
        if end < 0:
            self._seen = len(self._data)
            if self._seen > self._limit:
                raise ControlProtocolError("line too long")
            return []
        lines = bytes(self._data[:end]).split(b"\n")
        del self._data[: end + 1]
        self._seen = len(self._data)
        if self._seen > self._limit or any(len(line) > self._limit for line in lines):
            raise ControlProtocolError("line too long")
        return lines
