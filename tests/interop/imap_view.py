"""One IMAP session as its client sees it: what it was told, nothing else."""

from collections.abc import Iterable

from posthouse.net.connection import TcpStream
from posthouse.wire.imap.client import Response, ResponseReader, Value, pairs
from posthouse.wire.imap.sequence import parse_sequence_set

TIMEOUT = 20.0


class View:
    """A session. `uids` by place (None: not told yet), `flags` by uid."""

    def __init__(self, stream: TcpStream) -> None:
        self.stream = stream
        self.reader = ResponseReader()
        self.uids: list[int | None] = []
        self.flags: dict[int, frozenset[bytes]] = {}
        self.earlier: set[int] = set()
        self.highest = 0
        self.uid_validity = 0
        self.modseqs: dict[int, int] = {}
        self.ended = False
        self.count = 0
        self.qresync = False
        self.told: list[Response] = []
        self.shown: list[tuple[int, dict[bytes, Value]]] = []
        """FETCH responses of the last command, with the uid that their number stood for then."""

    async def response(self) -> Response:
        """The next response."""
        while (response := self.reader.next_response()) is None:
            data = await self.stream.read(TIMEOUT)
            if not data:
                self.ended = True
                return Response("*", "BYE")
            self.reader.receive(data)
        return response

    async def run(self, command: bytes, *, done: bool = False) -> Response:
        """A command, to its end; self.told is what came before. done: DONE follows the "+" (IDLE)."""
        self.count += 1
        tag = f"t{self.count}"
        self.told, self.shown = [], []
        self.earlier = set()
        self.stream.write(tag.encode() + b" " + command + b"\r\n")
        while True:
            response = await self.response()
            if response.tag == tag or self.ended:
                self._code(response)
                return response
            if response.tag == "+":
                if done:
                    self.stream.write(b"DONE\r\n")
                continue
            self.told.append(response)
            self._take(response)

    def opened(self) -> None:
        """A SELECT begins: nothing is known."""
        self.uids, self.flags, self.modseqs = [], {}, {}

    def _code(self, response: Response) -> None:
        name, _, value = response.code.partition(" ")
        if name == "HIGHESTMODSEQ":
            self.highest = int(value)
        elif name == "UIDVALIDITY":
            self.uid_validity = int(value)

    def _take(self, response: Response) -> None:
        self._code(response)
        match response.data:
            case (number, b"EXISTS") if isinstance(number, bytes):
                assert int(number) >= len(self.uids), "EXISTS takes no messages away"
                self.uids += [None] * (int(number) - len(self.uids))
            case (number, b"EXPUNGE") if isinstance(number, bytes):
                self.flags.pop(self.uids.pop(int(number) - 1) or 0, None)
            case (b"VANISHED", [b"EARLIER"], numbers) if isinstance(numbers, bytes):
                self.earlier = {
                    uid for low, high in parse_sequence_set(numbers).resolved(0) for uid in range(low, high + 1)
                }
            case (b"VANISHED", numbers) if isinstance(numbers, bytes):
                gone = set(parse_sequence_set(numbers).among([uid for uid in self.uids if uid is not None]))
                self.uids = [uid for uid in self.uids if uid not in gone]
            case (number, b"FETCH", values) if isinstance(number, bytes):
                self._fetched(int(number) - 1, pairs(values))

    def _fetched(self, place: int, found: dict[bytes, Value]) -> None:
        if isinstance(uid := found.get(b"UID"), bytes):
            assert self.uids[place] in (None, int(uid)), "a sequence number means one message"
            self.uids[place] = int(uid)
        known = self.uids[place]
        if known is None:
            return
        self.shown.append((known, found))
        if isinstance(flags := found.get(b"FLAGS"), list):
            self.flags[known] = without_recent(flags)
        if isinstance(modseq := found.get(b"MODSEQ"), list) and isinstance(modseq[0], bytes):
            self.modseqs[known] = int(modseq[0])

    def words(self, name: bytes) -> list[tuple[Value, ...]]:
        """Data responses that begin with a word, without it."""
        return [response.data[1:] for response in self.told if response.data and response.data[0] == name]


def without_recent(flags: Iterable[Value]) -> frozenset[bytes]:
    """Flags as two servers can be compared by: keywords have no case, \\Recent is a race."""
    return frozenset(flag.lower() for flag in flags if isinstance(flag, bytes)) - {b"\\recent"}
