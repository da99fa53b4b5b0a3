"""A milter that records what it is sent and answers by script, for tests of Posthouse and of its peers.

    script = {"R": [b"<no@x.test>", ReplyCode(b"550 5.7.1 No")], "E": [AddHeader(b"X-A", b"1"), Word.CONTINUE]}

The script's keys are commands' letters. Its values: answers, sent in order; a bytes in the list is a
condition, and what follows it up to the next one is only said when the command's data holds it.
Without a decision in what is said CONTINUE follows. Records are lines, one list per connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from posthouse.net.connection import TcpStream
from posthouse.net.pair import stream_pair
from posthouse.net.stream import StreamClosed, StreamTimeout
from posthouse.wire.milter import command
from posthouse.wire.milter.answer import Answer, ReplyCode, Word
from posthouse.wire.milter.packet import MilterProtocolError, PacketReader

Script = Mapping[str, Sequence[bytes | Answer]]
UNANSWERED = (command.ABORT, command.QUIT, command.QUIT_NEW_CONNECTION, command.MACROS)
SHOWN = 200
"""Bytes of a body chunk that are recorded as they are; of a longer one its beginning and its length."""
PATIENCE = 60.0
"""Seconds that a connection in memory may be silent."""
NO_REPLY = {b"C": 0x1000, b"H": 0x2000, b"M": 0x4000, b"R": 0x8000, b"T": 0x10000, b"U": 0x20000}
NO_REPLY |= {b"L": 0x80, b"N": 0x40000, b"B": 0x80000}
"""Commands that are not answered when their protocol bit was agreed on."""

EVERYTHING = command.Options(6, 0x1FF, 0)
"""Version 6, may change all, sees all and answers each."""


@dataclass(slots=True)
class ScriptedMilter:
    """The milter; start() serves it."""

    script: Script = field(default_factory=dict)
    options: command.Options = EVERYTHING
    """What it chooses; the version is lowered to what is offered."""
    drop: str = ""
    """The letter of the command at which it closes the connection without an answer."""
    mute: str = ""
    """The letter of the command that it never answers."""
    raw: Mapping[str, bytes] = field(default_factory=dict)
    """Letters to bytes that are sent as they are, instead of an answer."""
    sessions: list[list[str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """What came in body chunks, one for each end of body."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """The connections in memory that are open."""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
        """Listen; the caller closes it."""
        return await asyncio.start_server(self._serve, host, port)

    async def start_unix(self, path: str) -> asyncio.Server:
        """The same on a Unix socket."""
        return await asyncio.start_unix_server(self._serve, path)

    @property
    def lines(self) -> list[str]:
        """All records."""
        return [line for session in self.sessions for line in session]

    async def connect(self, endpoint: str = "", timeout: float = 0.0) -> TcpStream:
        """A connection to it in memory; fits policy.reach.Reach."""
        near, far = stream_pair()
        task = asyncio.get_running_loop().create_task(self.serve(far))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return near

    async def serve(self, stream: TcpStream) -> None:
        """One connection."""

        async def read() -> bytes:
            try:
                return await stream.read(PATIENCE)
            except (StreamClosed, StreamTimeout):
                return b""

        await self._converse(read, stream.write)
        stream.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def read() -> bytes:
            try:
                return await reader.read(65536)
            except ConnectionError:
                return b""

        await self._converse(read, writer.write)
        writer.close()

    async def _converse(self, read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], None]) -> None:
        session: list[str] = []
        self.sessions.append(session)
        packets = PacketReader()
        body: list[bytes] = []
        try:
            while data := await read():
                packets.receive_data(data)
                while (found := packets.next_packet()) is not None:
                    if not self._take(*found, session, body, write):
                        return
        except MilterProtocolError as error:
            session.append(f"! {error}")
        finally:
            session.append("closed")

    def _take(
        self, letter: bytes, data: bytes, session: list[str], body: list[bytes], write: Callable[[bytes], None]
    ) -> bool:
        """One command; False ends the connection."""
        session.append(record(letter, data))
        name = letter.decode("latin-1")
        if letter == command.BODY:
            body.append(data)
        elif letter == command.END_OF_BODY:
            self.bodies.append(b"".join(body))
            body.clear()
        if self.drop == name:
            return False
        if name in self.raw:
            write(self.raw[name])
        elif letter == command.OPTIONS:
            chosen = self.options
            version = min(chosen.version, command.parse_options(data).version)
            write(bytes(replace(chosen, version=version)))
        elif letter not in UNANSWERED and self.mute != name and not self.options.protocol & NO_REPLY.get(letter, 0):
            write(b"".join([bytes(answer) for answer in self.answers(name, data)]))
        return letter != command.QUIT

    def answers(self, name: str, data: bytes) -> list[Answer]:
        """What the script says to a command."""
        said: list[Answer] = []
        active = True
        for item in self.script.get(name, ()):
            if isinstance(item, bytes):
                active = item in data
            elif active:
                said.append(item)
        decided = any(
            isinstance(answer, ReplyCode) or (isinstance(answer, Word) and answer is not Word.PROGRESS)
            for answer in said
        )
        return said if decided else [*said, Word.CONTINUE]


def record(letter: bytes, data: bytes) -> str:
    """One command in a line: "M <a@b>|SIZE=3", "D M i=ABC"."""
    if letter == command.OPTIONS:
        options = command.parse_options(data)
        return f"O {options.version} {options.actions:#x} {options.protocol:#x}"
    if letter == command.MACROS:
        stage, pairs = command.parse_macros(data)
        return f"D {stage.decode()} " + " ".join([f"{show(name)}={show(value)}" for name, value in pairs])
    if letter == command.CONNECT:
        peer = command.parse_peer(data)
        return f"C {show(peer.name)} {show(peer.family)} {peer.port} {show(peer.address)}"
    if letter == command.BODY:
        return f"B {len(data)} {show(data[:SHOWN])}"
    return f"{letter.decode('latin-1')} " + "|".join([show(word) for word in data.removesuffix(b"\0").split(b"\0")])


def show(data: bytes) -> str:
    """Bytes in one line."""
    text = data.decode("utf-8", "backslashreplace").replace("\\", "\\\\")
    return text.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
