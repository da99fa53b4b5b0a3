"""Dialogues as text: read, and played against a server.

    # RFC 5321 section 4.1.4: RCPT before MAIL is out of order, and the session goes on
    --- main.cf
    smtpd_helo_required = yes
    --- dialogue
    S: 220 mail.example ESMTP *
    C: EHLO client.example
    S: ...
    C: RCPT TO:<b@mail.example>
    S: 503 5.5.1 *
    --- log
    reject: RCPT from *

"*" stands for anything. "S: ..." is one whole reply of any number of lines. "S: <closed>" is the
end of the connection; "C: <close>" ends it from our side; "C: <tls>" shakes hands. "R: " sends
bytes with Python's escapes and no line end of its own. Client lines that follow each other leave
in one packet (or cut as asked). Each log line must be found behind the one before it.
"""

import asyncio
import random
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from posthouse.net.stream import Stream, StreamClosed

TIMEOUT = 10.0
"""Seconds to wait for a reply: a server that is silent for so long will not answer at all."""

CUTS = ("whole", "bytes", "random")
"""How the client's bytes are cut: as written, one at a time, at random (with a fixed seed)."""


class TranscriptError(Exception):
    """The file is no transcript; the text names the line."""


class Difference(AssertionError):
    """The first place where the server said something else."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the dialogue."""

    side: str
    """S, C or R."""
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """One file."""

    title: str
    main_cf: str
    steps: tuple[Step, ...]
    log: tuple[str, ...]


def parse_transcript(text: str) -> Transcript:
    """Read a file. Raises TranscriptError."""
    sections: dict[str, list[tuple[int, str]]] = {"": [], "main.cf": [], "dialogue": [], "log": []}
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("--- "):
            current = line[4:].strip()
            if current not in sections:
                raise TranscriptError(f"line {number}: no such section: {current}")
        else:
            sections[current].append((number, line))
    steps = []
    for number, line in sections["dialogue"]:
        if not line.strip():
            continue
        if line[:2] not in ("S:", "C:", "R:"):
            raise TranscriptError(f"line {number}: neither S:, C: nor R:")
        steps.append(Step(line[0], line[3:], number))
    if not steps:
        raise TranscriptError("no dialogue")
    return Transcript(
        " ".join(line.lstrip("# ") for _, line in sections[""]).strip(),
        "".join(f"{line}\n" for _, line in sections["main.cf"]),
        tuple(steps),
        tuple(line for _, line in sections["log"] if line.strip()),
    )


def matches(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern in which only "*" is special."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def pieces(data: bytes, cut: str, seed: int) -> Iterator[bytes]:
    """The data as it is sent."""
    if cut == "whole":
        yield data
    elif cut == "bytes":
        for number in range(len(data)):
            yield data[number : number + 1]
    else:
        source = random.Random(seed)  # noqa: S311 - repeatable on purpose
        while data:
            size = source.randint(1, 40)
            yield data[:size]
            data = data[size:]


class _Reader:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = b""

    async def line(self) -> str | None:
        """The server's next line, or None at the end of the connection."""
        while b"\n" not in self._buffer:
            try:
                data = await self._stream.read(TIMEOUT)
            except StreamClosed:
                data = b""
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")


async def play(
    transcript: Transcript, stream: Stream, *, cut: str = "whole", client_tls: ssl.SSLContext | None = None
) -> None:
    """Play the client's part and compare the server's. Raises Difference."""
    reader = _Reader(stream)
    waiting = b""
    for step in transcript.steps:
        if step.side == "C" and step.text not in ("<close>", "<tls>"):
            waiting += step.text.encode("utf-8", "surrogateescape") + b"\r\n"
        elif step.side == "R":
            waiting += step.text.encode("latin-1").decode("unicode_escape").encode("latin-1")
        else:
            for piece in pieces(waiting, cut, step.line):
                stream.write(piece)
                if cut != "whole":
                    await stream.drain(TIMEOUT)
                    await asyncio.sleep(0)
            waiting = b""
            if step.text == "<close>" and step.side == "C":
                stream.close()
                return
            if step.text == "<tls>" and step.side == "C":
                assert client_tls is not None, "this transcript needs TLS"
                await stream.start_tls(client_tls, server_side=False, timeout=TIMEOUT)
            else:
                await _expect(reader, step)
    stream.write(waiting)
    stream.close()


async def _expect(reader: _Reader, step: Step) -> None:
    line = await reader.line()
    if step.text == "...":
        while line is not None and line[3:4] == "-":
            line = await reader.line()
        if line is None:
            raise Difference(f"line {step.line}: expected a reply, got the end of the connection")
    elif step.text == "<closed>":
        if line is not None:
            raise Difference(f"line {step.line}: expected the end of the connection, got: {line}")
    elif line is None or not matches(step.text, line):
        raise Difference(f"line {step.line}: expected: {step.text}\n     got: {line}")


def check_log(transcript: Transcript, lines: Sequence[str]) -> None:
    """Whether the expected log lines stand in the log, in their order. Raises Difference."""
    place = 0
    for pattern in transcript.log:
        for number in range(place, len(lines)):
            if matches(f"*{pattern}", lines[number]):
                place = number + 1
                break
        else:
            raise Difference("no log line: " + pattern + "\nin:\n" + "\n".join(lines[place:]))
