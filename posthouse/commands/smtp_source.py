"""smtp-source: send test mail, in parallel. Manual: smtp-source(1) of Postfix 3.7.

    smtp-source [-46AcdLNov] [-C count] [-f from] [-F file] [-l length] [-m count] [-M name] [-r recipients]
                [-R delay] [-s sessions] [-S subject] [-t to] [-T window] [-w delay] [inet:]host[:port] | unix:path

Silent when all goes well. No pipelining: each command waits for its reply, as Postfix's program does.
"""

import os
import random
import re
import socket
import sys
import time
from collections.abc import Callable

from posthouse.commands.poll import Poll, endpoints
from posthouse.commands.smtp_source_options import Fatal, Load, parse_options, say

TIMEOUT = 300.0
"""Seconds for one reply."""

REPLY_LIMIT = 1 << 16
"""Bytes of one reply."""

_LAST_LINE = re.compile(rb"(?:^|\n)[0-9]{3}(?![0-9-])[^\n]*\n\Z")


class Source:
    """The sessions and what they share."""

    def __init__(self, load: Load) -> None:
        try:
            self.family, self.address = endpoints(load.target, load.family, listen=False)[0]
        except OSError as error:
            raise Fatal(str(error)) from error
        self.load = load
        self.poll = Poll()
        self.left = load.messages
        self.sent = 0
        self.rejected = 0
        self.number = 0
        self._sessions: set[Session] = set()

    def run(self) -> None:
        """Send it all. Raises Fatal."""
        for _ in range(min(self.load.sessions, self.load.messages)):
            self.start()
        self.poll.later(1.0, self._look_for_the_stuck)
        try:
            self.poll.run()
        finally:
            for session in self._sessions:
                session.close()
        if self.load.counter:
            sys.stdout.write("\n")

    def start(self) -> None:
        """One more connection, for one of the messages left."""
        if self.take():
            session = Session(self)
            self._sessions.add(session)
            session.connect()
        elif not self._sessions:
            self.poll.stop()

    def take(self) -> bool:
        """Whether there is a message for who asks; it is the asker's then."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True

    def end(self, session: "Session") -> None:
        """It is over; the next message has a connection of its own."""
        self._sessions.discard(session)
        if self.left > 0:
            self._paced(self.start)
        elif not self._sessions:
            self.poll.stop()

    def _paced(self, action: Callable[[], None]) -> None:
        load = self.load
        delay = random.uniform(0, load.random_delay) if load.random_delay else load.fixed_delay  # noqa: S311
        if delay:
            self.poll.later(delay, action)
        else:
            action()

    def next_message(self, action: Callable[[], None]) -> None:
        """Begin the next message of a kept connection, after its pause."""
        self._paced(action)

    def _look_for_the_stuck(self) -> None:
        now = time.monotonic()
        for session in self._sessions:
            if session.waits_since and now - session.waits_since > TIMEOUT:
                raise Fatal(f"timeout while {session.doing}")
        self.poll.later(1.0, self._look_for_the_stuck)


class Session:
    """One connection: a command out, a reply in."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._load = source.load
        self._socket = socket.socket(source.family, socket.SOCK_STREAM)
        self._received = b""
        self._next: Callable[[bytes, bool], None] = self._greeted
        self._recipients_left = 0
        self._pending = memoryview(b"")
        self.doing = "connecting"
        self.waits_since = 0.0

    def connect(self) -> None:
        """Connect, several times if need be; the banner is awaited then."""
        load = self._load
        for attempt in range(load.tries):
            try:
                if load.window:
                    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                        self._socket.setsockopt(socket.SOL_SOCKET, option, load.window)
                self._socket.connect(self._source.address)  # type: ignore[arg-type]  # of getaddrinfo, or a path
                break
            except ConnectionError as error:
                self._socket.close()
                if attempt + 1 == load.tries:
                    raise Fatal(f"connect: {error.strerror}") from error
                self._socket = socket.socket(self._source.family, socket.SOCK_STREAM)
            except OSError as error:
                raise Fatal(f"connect: {error.strerror}") from error
        self._socket.setblocking(False)
        if self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.doing = "reading greeting"
        self.waits_since = time.monotonic()
        self._source.poll.watch(self._socket, self._readable)

    def close(self) -> None:
        """Hang up, whatever was said."""
        self._socket.close()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            raise Fatal(f"lost connection while {self.doing}")
        self._received += data
        if _LAST_LINE.search(self._received) is None:
            if len(self._received) > REPLY_LIMIT:
                raise Fatal(f"reply too long while {self.doing}")
            return
        reply = self._received
        wanted = self._next
        if wanted == self._ended and self._load.lmtp and reply.count(b"\n") < self._load.recipients:
            return  # LMTP: one reply for each recipient (RFC 2033 section 4.2)
        self._received = b""
        if self._load.verbose:
            for line in reply.splitlines():
                say(f"<<< {line.decode('utf-8', 'surrogateescape')}")
        self.waits_since = 0.0
        wanted(reply, reply[:1] in b"23")

    def _command(self, text: str, doing: str, then: Callable[[bytes, bool], None]) -> None:
        if self._load.verbose:
            say(text)
        self._send(f"{text}\r\n".encode("utf-8", "surrogateescape"), doing, then)

    def _send(self, data: bytes, doing: str, then: Callable[[bytes, bool], None]) -> None:
        self.doing = f"sending {doing}"
        self._next = then
        self.waits_since = time.monotonic()
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise Fatal(f"lost connection while {self.doing}") from error
        if sent < len(data):
            self._pending = memoryview(data)[sent:]
            self._source.poll.forget(self._socket)
            self._source.poll.watch_to_write(self._socket, self._writable)

    def _writable(self) -> None:
        try:
            self._pending = self._pending[self._socket.send(self._pending) :]
        except BlockingIOError:
            return
        except OSError as error:
            raise Fatal(f"lost connection while {self.doing}") from error
        self.waits_since = time.monotonic()
        if not self._pending:
            self._source.poll.forget(self._socket)
            self._source.poll.watch(self._socket, self._readable)

    def _refused(self, what: str, reply: bytes) -> None:
        """Raises Fatal, unless refusals are warnings."""
        lines = reply.decode("utf-8", "surrogateescape").splitlines()
        text = lines[-1][:4] + "?".join(line[4:] for line in lines)
        if not self._load.go_on:
            raise Fatal(f"{what}: {text}")
        say(f"warning: {what}: {text}")

    # The dialogue, one step a reply.

    def _greeted(self, reply: bytes, good: bool) -> None:
        if not good:
            self._refused("rejected at server banner", reply)
        if self._load.bare:
            self._mail()
        else:
            verb = "LHLO" if self._load.lmtp else "HELO"
            self._command(f"{verb} {self._load.hostname}", "HELO", self._said_hello)

    def _said_hello(self, reply: bytes, good: bool) -> None:
        if not good:
            self._refused("HELO rejected", reply)
        self._mail()

    def _mail(self) -> None:
        self._command(f"MAIL FROM:<{self._load.sender}>", "sender", self._said_mail)

    def _said_mail(self, reply: bytes, good: bool) -> None:
        if not good:
            self._refused("sender rejected", reply)
            self._reset()
            return
        self._recipients_left = self._load.recipients
        self._recipient()

    def _recipient(self) -> None:
        number = ""
        if self._load.numbered:
            self._source.number += 1
            number = str(self._source.number)
        elif self._recipients_left > 1:
            number = str(self._recipients_left)
        self._recipients_left -= 1
        self._command(f"RCPT TO:<{number}{self._load.recipient}>", "recipient", self._said_recipient)

    def _said_recipient(self, reply: bytes, good: bool) -> None:
        if not good:
            self._refused("recipient rejected", reply)
            self._reset()
        elif self._recipients_left:
            self._recipient()
        else:
            self._command("DATA", "DATA command", self._said_data)

    def _said_data(self, reply: bytes, good: bool) -> None:
        if not good:
            self._refused("data rejected", reply)
            self._reset()
            return
        load = self._load
        header = b""
        if not load.bare and not load.preformatted:
            header = self._header()
        if load.verbose:
            say(".")
        self._send(header + load.payload + b".\r\n", "message", self._ended)

    def _header(self) -> bytes:
        load = self._load
        date = time.strftime("%a, %d %b %Y %H:%M:%S %z (%Z)")
        place = f"{os.getpid() & 0xFFFF:04x}.{self._socket.fileno():04x}.{self._source.left:04x}"
        lines = [
            f"From: <{load.sender}>",
            f"To: <{load.recipient}>",
            f"Date: {date}",
            f"Message-Id: <{place}@{load.hostname}>",
        ]
        if load.subject:
            lines.append(f"Subject: {load.subject}")
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode("utf-8", "surrogateescape")

    def _ended(self, reply: bytes, good: bool) -> None:
        if not good:
            self._refused("end of data rejected", reply)
        self._source.sent += 1
        if self._load.counter:
            sys.stdout.write(f"{self._source.sent}\r")
            sys.stdout.flush()
        self._go_on()

    def _reset(self) -> None:
        self._command("RSET", "RSET", lambda reply, good: self._go_on())

    def _go_on(self) -> None:
        if self._load.keep and self._source.take():
            self._source.next_message(self._mail)
        else:
            self._quit()

    def _quit(self) -> None:
        doing = self.doing.removeprefix("sending ")
        self._command("QUIT", doing, self._said_quit)

    def _said_quit(self, reply: bytes, good: bool) -> None:
        self._source.poll.forget(self._socket)
        self._socket.close()
        self._source.end(self)


def main(arguments: list[str]) -> int:
    """Run the program; returns its exit status."""
    try:
        Source(parse_options(arguments)).run()
    except Fatal as error:
        sys.stdout.flush()
        say(f"fatal: {error}")
        return 1
    return 0
