"""An SMTP or LMTP server that takes mail and, on purpose, misbehaves.

What a recipient's local part says decides: 550@ and any other three digits are that reply to
RCPT, 550-data@ that reply after the dot, timeout@ no answer at all, slow@ one after a while,
greylist@ 451 the first time and 250 afterwards, drop@ a connection that breaks. A Script says
the rest: which keywords are offered, what is said instead of the usual reply, TLS, logins.

Standards: RFC 5321; RFC 2033; RFC 3207; RFC 4954. No real server: sizes are not bounded, so it belongs on loopback.
"""

import asyncio
import base64
import re
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from posthouse.net.connection import TcpStream
from posthouse.net.stream import StreamClosed, StreamTimeout, TlsFailed
from posthouse.net.tcp import Listener, start_server

KEYWORDS = ("PIPELINING", "SIZE 10240000", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8")
IDLE_TIMEOUT = 300.0
"""Seconds a client may be silent, RFC 5321 section 4.5.3.2.7."""

ADDRESS = re.compile(r"(?:FROM|TO):<(.*?)>", re.IGNORECASE)
CODE = re.compile(r"([45]\d\d)(-data)?(?:\+.*)?")


@dataclass(slots=True)
class Script:
    """How a sink behaves."""

    name: str = "sink.example"
    greeting: str = ""
    """Instead of "220 NAME ESMTP"."""
    keywords: tuple[str, ...] = KEYWORDS
    lmtp: bool = False
    replies: dict[str, list[str]] = field(default_factory=dict)
    """By verb ("MAIL", "." for the dot, "RCPT a@x" for one recipient): replies to give instead, the last one for ever;
    "" closes the connection."""
    tls: ssl.SSLContext | None = None
    wrapper: bool = False
    """TLS from the first byte."""
    logins: dict[str, str] = field(default_factory=dict)
    """User and password; AUTH is checked against it."""
    slow: float = 0.2
    """Seconds that slow@ takes."""
    hand_on: "Callable[[Taken], Awaitable[str]] | None" = None
    """What becomes of a message that was taken: the reply after the dot."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One message that the sink accepted."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    """As it came, dots undone."""
    mail: str
    """The MAIL command as it came."""
    rcpts: tuple[str, ...]


class SmtpSink:
    """A running server. `port` is where; `taken` what it accepted; `lines` every command it was sent."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.taken: list[Taken] = []
        self.lines: list[str] = []
        self.connections = 0
        self.port = 0
        self._listener: Listener | None = None
        self._sock: socket.socket | None = None
        self._seen: set[str] = set()
        self._used: dict[str, int] = defaultdict(int)

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, path: str = "") -> "SmtpSink":
        """Listen on an address, or on a Unix socket."""
        if path:
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(path)
        else:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            self.port = sock.getsockname()[1]
        sock.listen(128)
        self._sock = sock
        self._listener = await start_server(sock, self._serve)
        return self

    async def stop(self) -> None:
        """Close everything."""
        if self._listener is not None:
            self._listener.abort()
            await self._listener.wait(1.0)
        if self._sock is not None:
            self._sock.close()

    async def idle(self) -> None:
        """Wait until every session has ended."""
        assert self._listener is not None, "not started"
        await self._listener.wait(IDLE_TIMEOUT)

    async def _serve(self, stream: TcpStream) -> None:
        self.connections += 1
        await _Session(self, stream).run()

    def scripted(self, key: str) -> str | None:
        """The reply that the script has for a verb, or None."""
        replies = self.script.replies.get(key)
        if not replies:
            return None
        number = min(self._used[key], len(replies) - 1)
        self._used[key] += 1
        return replies[number]

    def first_time(self, recipient: str) -> bool:
        """Whether this recipient was not asked for before."""
        new = recipient not in self._seen
        self._seen.add(recipient)
        return new


class _Broken(Exception):
    """The session ends."""


class _Session:
    """One client."""

    def __init__(self, sink: SmtpSink, stream: TcpStream) -> None:
        self.sink = sink
        self.stream = stream
        self.buffer = b""
        self.mail = ""
        self.rcpts: list[tuple[str, str]] = []

    async def run(self) -> None:
        script = self.sink.script
        try:
            if script.wrapper:
                await self._tls()
            self._say(script.greeting or f"220 {script.name} ESMTP")
            while True:
                await self._command((await self._line()).decode("utf-8", "replace"))
        except (_Broken, StreamClosed, StreamTimeout, TlsFailed):
            return

    def _say(self, reply: str) -> None:
        if not reply:
            self.stream.close()
            raise _Broken
        self.stream.write("".join(f"{line}\r\n" for line in reply.split("\n")).encode("utf-8", "surrogateescape"))
        if reply.startswith("421"):
            self.stream.close()
            raise _Broken

    async def _line(self) -> bytes:
        while b"\n" not in self.buffer:
            data = await self.stream.read(IDLE_TIMEOUT)
            if not data:
                raise _Broken
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    async def _tls(self) -> None:
        context = self.sink.script.tls
        assert context is not None, "a script that starts TLS has a context"
        await self.stream.start_tls(context, server_side=True, timeout=10.0)
        self.buffer = b""

    async def _command(self, line: str) -> None:
        sink = self.sink
        sink.lines.append(line)
        verb = line.partition(" ")[0].upper()
        found = ADDRESS.search(line)
        address = found[1] if found else ""
        scripted = sink.scripted(f"{verb} {address}") if address else None
        if scripted is None:
            scripted = sink.scripted(verb)
        if scripted is not None and not (verb == "DATA" and scripted.startswith("3")):
            if scripted.startswith("2"):
                self._accept(verb, line, address)
            self._say(scripted)
            return
        if verb in ("EHLO", "LHLO"):
            words = [sink.script.name, *sink.script.keywords]
            if sink.script.tls is not None and self.stream.tls is None:
                words.append("STARTTLS")
            self._say("\n".join(f"250{' ' if n == len(words) - 1 else '-'}{w}" for n, w in enumerate(words)))
        elif verb == "STARTTLS" and sink.script.tls is not None:
            self._say("220 2.0.0 Ready to start TLS")
            await self._tls()
        elif verb == "AUTH":
            await self._auth(line)
        elif verb == "RCPT":
            await self._rcpt(line, address)
        elif verb == "DATA":
            await self._data(scripted)
        elif verb == "QUIT":
            self._say("221 2.0.0 Bye")
            self.stream.close()
            raise _Broken
        else:
            self._accept(verb, line, address)
            self._say({"MAIL": "250 2.1.0 Ok", "HELO": f"250 {sink.script.name}"}.get(verb, "250 2.0.0 Ok"))

    def _accept(self, verb: str, line: str, address: str) -> None:
        if verb == "MAIL":
            self.mail = line
            self.rcpts = []
        elif verb == "RCPT":
            self.rcpts.append((address, line))
        elif verb == "RSET":
            self.mail = ""
            self.rcpts = []

    async def _rcpt(self, line: str, address: str) -> None:
        local_part = address.rpartition("@")[0].lower()
        code = CODE.fullmatch(local_part)
        if code and not code[2]:
            self._say(f"{code[1]} {code[1][0]}.1.1 <{address}>: said on purpose")
            return
        if local_part == "timeout":
            await asyncio.sleep(IDLE_TIMEOUT)
            raise _Broken
        if local_part == "slow":
            await asyncio.sleep(self.sink.script.slow)
        if local_part == "drop":
            self._say("")
        if local_part == "greylist" and self.sink.first_time(address):
            self._say(f"451 4.7.1 <{address}>: Greylisted, please try again later")
            return
        self._accept("RCPT", line, address)
        self._say("250 2.1.5 Ok")

    async def _data(self, scripted: str | None) -> None:
        sink = self.sink
        if not self.rcpts:
            self._say("554 5.5.1 Error: no valid recipients")
            return
        self._say(scripted or "354 End data with <CR><LF>.<CR><LF>")
        content = bytearray()
        while not content.endswith(b"\r\n.\r\n") and content != b".\r\n":
            end = self.buffer.find(b"\n")
            if end < 0:
                data = await self.stream.read(IDLE_TIMEOUT)
                if not data:
                    raise _Broken
                self.buffer += data
                continue
            content += self.buffer[: end + 1]
            self.buffer = self.buffer[end + 1 :]
        text = bytes(content[:-3])
        text = text.removeprefix(b".") if text.startswith(b"..") else text
        text = text.replace(b"\r\n..", b"\r\n.")
        sender = ADDRESS.search(self.mail)
        number = len(sink.taken) + 1
        scripted = sink.scripted(".")
        if scripted is not None and not sink.script.lmtp:
            if scripted.startswith("2"):
                self._keep(sender[1] if sender else "", [a for a, _ in self.rcpts], text)
            self._say(scripted)
        else:
            kept: list[str] = []
            replies: list[str] = []
            for address, _ in self.rcpts:
                code = CODE.fullmatch(address.rpartition("@")[0].lower())
                if code:
                    replies.append(f"{code[1]} {code[1][0]}.2.0 <{address}>: said on purpose")
                else:
                    kept.append(address)
                    replies.append(f"250 2.0.0 Ok: queued as {number:06X}")
            if kept:
                self._keep(sender[1] if sender else "", kept, text)
                if sink.script.hand_on is not None:
                    said = await sink.script.hand_on(sink.taken[-1])
                    replies = [said if reply.startswith("250") else reply for reply in replies]
            for reply in replies if sink.script.lmtp else [max(replies)]:
                self._say(reply)
        self.rcpts = []

    def _keep(self, sender: str, recipients: list[str], content: bytes) -> None:
        self.sink.taken.append(
            Taken(sender, tuple(recipients), content, self.mail, tuple(line for _, line in self.rcpts))
        )

    async def _auth(self, line: str) -> None:
        words = line.split()
        mechanism = words[1].upper() if len(words) > 1 else ""
        given = deque(words[2:3])

        async def answer(challenge: bytes) -> bytes:
            if given:
                text = given.popleft()
            else:
                self._say(f"334 {base64.b64encode(challenge).decode()}")
                text = (await self._line()).decode("ascii", "replace")
                self.sink.lines.append(text)
            return base64.b64decode("" if text == "=" else text)

        logins = self.sink.script.logins
        good = False
        if mechanism == "PLAIN":
            parts = (await answer(b"")).split(b"\0")
            good = len(parts) == 3 and logins.get(parts[1].decode()) == parts[2].decode()
        elif mechanism == "LOGIN":
            user = (await answer(b"Username:")).decode()
            good = logins.get(user) == (await answer(b"Password:")).decode()
        elif mechanism == "CRAM-MD5":
            import hmac

            challenge = b"<1896.697170952@sink.example>"
            user, _, digest = (await answer(challenge)).decode().rpartition(" ")
            good = hmac.new(logins.get(user, "\0").encode(), challenge, "md5").hexdigest() == digest
        elif mechanism == "XOAUTH2":
            text = (await answer(b"")).decode()
            good = any(f"user={u}\x01auth=Bearer {t}\x01\x01" == text for u, t in logins.items())
            if not good:
                await answer(b'{"status":"401"}')
        self._say("235 2.7.0 Authentication successful" if good else "535 5.7.8 Error: authentication failed")
