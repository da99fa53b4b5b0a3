"""One client of smtp-sink: its dialogue, with all that the options make go wrong."""

import contextlib
import secrets
import socket
import time
from typing import Protocol

from posthouse.commands.poll import Poll
from posthouse.commands.smtp_sink_options import Sink, say

LINE_LIMIT = 1 << 16
"""Bytes of one command."""

CHUNK = 1 << 18
"""Bytes read at a time."""


class Sessions(Protocol):
    """Whose client it is."""

    options: Sink
    poll: Poll
    quits: int
    messages: int

    def count(self) -> None:
        """Something was counted."""

    def gone(self, connection: "Connection") -> None:
        """A session has ended."""


class Connection:
    """One client."""

    def __init__(self, server: Sessions, client: socket.socket, address: str) -> None:
        self._server = server
        self._options = server.options
        self._socket = client
        self._address = address
        self._received = bytearray()
        self._replies: list[bytes] = []
        self._pending = memoryview(b"")
        self._open = True
        self._reading = True
        self._in_data = False
        self._paused = False
        self._has_sender = False
        self._recipients = 0
        self._protocol = "LMTP" if self._options.lmtp else "SMTP"
        self._helo = ""
        self._mail = ""
        self._rcpt: list[str] = []
        self._content: list[bytes] = []
        self.busy = time.monotonic()

    def greet(self) -> None:
        """The banner, or what the options put in its place."""
        self._server.poll.watch(self._socket, self._readable)
        options = self._options
        if self._intervenes("CONNECT"):
            self._flush()
            return
        if options.pix:
            self._replies.append(b"220 ********\r\n")
        else:
            self._reply(f"220 {options.hostname}" + (" ESMTP" if options.esmtp else ""))
        self._flush()

    def _reply(self, text: str) -> None:
        self._replies.append(f"{text}\r\n".encode("utf-8", "surrogateescape"))

    def _flush(self) -> None:
        if not self._open or not self._replies or self._pending:
            return
        data = b"".join(self._replies)
        self._replies.clear()
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._pending = memoryview(data)[sent:]
            self._watch_to_write()

    def _watch_to_write(self) -> None:
        if self._reading:
            self._server.poll.forget(self._socket)
        self._server.poll.watch_to_write(self._socket, self._writable)
        self._reading = False

    def _writable(self) -> None:
        try:
            self._pending = self._pending[self._socket.send(self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self.busy = time.monotonic()
        if not self._pending:
            self._server.poll.forget(self._socket)
            if not self._paused:
                self._server.poll.watch(self._socket, self._readable)
                self._reading = True
            self._flush()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.busy = time.monotonic()
        self._received += data
        self._go_on()

    def _go_on(self) -> None:
        """Work on what has come, until more is needed or a pause begins."""
        while self._open and not self._paused:
            if self._in_data:
                if not self._take_content():
                    break
                continue
            end = self._received.find(b"\n")
            if end < 0:
                if len(self._received) > LINE_LIMIT:
                    self.close()
                break
            line = bytes(self._received[:end]).rstrip(b"\r").decode("utf-8", "surrogateescape")
            del self._received[: end + 1]
            self._command(line)
        self._flush()

    def _pause(self, seconds: float, then: str, line: str) -> None:
        """Read nothing for a while, then carry the command out."""
        self._paused = True
        if self._reading:
            self._server.poll.forget(self._socket)
            self._reading = False
        self._flush()

        def resume() -> None:
            if not self._open:
                return
            self._paused = False
            self.busy = time.monotonic()
            if not self._pending:
                self._server.poll.watch(self._socket, self._readable)
                self._reading = True
            if then:
                self._carry_out(then, line)
            self._go_on()

        self.busy = time.monotonic() + seconds
        self._server.poll.later(seconds, resume)

    def _command(self, line: str) -> None:
        options = self._options
        if options.verbose:
            say(line)
        verb, _, rest = line.strip().partition(" ")
        verb = verb.partition(":")[0].upper()
        if not verb:
            self._reply("500 5.5.2 Error: unknown command")
            return
        if verb not in options.verbs:
            self._reply("500 5.5.1 Error: unknown command")
            return
        if verb in options.logged:
            options.log(f"{verb} {rest}".rstrip())
        delay = options.delay_of(verb)
        if delay:
            self._pause(delay, verb, rest)
        else:
            self._carry_out(verb, rest)

    def _intervenes(self, verb: str) -> bool:
        """Whether the options end or refuse this command; the reply is made then."""
        options = self._options
        if verb in options.disconnects:
            self.close()
        elif verb in options.shuts:
            self._replies.append(b"421 4.0.0 Server closing connection\r\n")
            self.close()
        elif verb in options.soft:
            self._reply(options.soft_reply)
        elif verb in options.hard:
            self._reply(options.hard_reply)
        else:
            return False
        return True

    def _carry_out(self, verb: str, rest: str) -> None:
        if self._intervenes(verb):
            return
        ok = "250 2.1.0 Ok"
        match verb:
            case "EHLO" | "LHLO":
                self._forget_mail()
                self._helo = rest.strip()
                self._protocol = "LMTP" if verb == "LHLO" else "ESMTP"
                self._replies.append(self._options.capabilities)
            case "HELO":
                self._forget_mail()
                self._helo, self._protocol = rest.strip(), "SMTP"
                self._reply(f"250 {self._options.hostname}")
            case "MAIL":
                if self._has_sender:
                    self._reply("503 5.5.1 Error: nested MAIL command")
                    return
                self._has_sender, self._mail = True, rest.partition(":")[2].strip()
                self._reply(ok)
            case "RCPT":
                if not self._has_sender:
                    self._reply("503 5.5.1 Error: need MAIL command")
                    return
                self._recipients += 1
                if self._options.keeps:
                    self._rcpt.append(rest.partition(":")[2].strip())
                self._reply("250 2.1.5 Ok")
            case "DATA":
                self._begin_data()
            case "RSET":
                self._forget_mail()
                self._reply(ok)
            case "QUIT":
                self._server.quits += 1
                self._reply("221 Bye")
                self.close()
            case _:
                self._reply("250 2.0.0 Ok")

    def _begin_data(self) -> None:
        if not self._recipients:
            self._reply("503 5.5.1 Error: need RCPT command")
            return
        self._reply("354 End data with <CR><LF>.<CR><LF>")
        options = self._options
        if options.abort is not None:
            if options.abort:
                self._flush()
                self._paused = True
                self._server.poll.forget(self._socket)
                self._reading = False
                self.busy = time.monotonic() + options.abort
                self._server.poll.later(options.abort, self._abort)
            else:
                self._abort()
            return
        self._in_data = True
        self._received[:0] = b"\n"  # so that a lone "." as the first line is an end, too
        self._content = []
        if options.data_read_delay:
            self._pause(options.data_read_delay, "", "")

    def _abort(self) -> None:
        if self._open:
            self._reply("550 This violates SMTP")
            self.close()

    def _take_content(self) -> bool:
        """Throw away or keep what has come; True when the end of the message was in it."""
        data = self._received
        crlf, bare = data.find(b"\n.\r\n"), data.find(b"\n.\n")
        end = min((place for place in (crlf, bare) if place >= 0), default=-1)
        if end < 0:
            keep = min(3, len(data))  # the end may be cut in the middle
            if self._options.keeps:
                self._content.append(bytes(data[: len(data) - keep]))
            del data[: len(data) - keep]
            return False
        if self._options.keeps:
            self._content.append(bytes(data[:end]))
        del data[: end + (4 if end == crlf else 3)]
        self._in_data = False
        self._end_data()
        return True

    def _end_data(self) -> None:
        options = self._options
        if options.verbose:
            say(".")
        if "." in options.logged:
            options.log(".")
        recipients, lmtp = self._recipients, options.lmtp
        if options.keeps:
            self._keep()
        self._forget_mail()
        delay = options.delay_of(".")

        def answer() -> None:
            if not self._open or self._intervenes("."):
                return
            self._server.messages += 1
            for _ in range(recipients if lmtp else 1):
                self._reply("250 2.2.0 Ok" if lmtp else "250 2.0.0 Ok")
            self._flush()
            self._server.count()

        if delay:
            self._pause(delay, "", "")
            self._server.poll.later(delay, answer)
        else:
            answer()

    def _keep(self) -> None:
        options = self._options
        number = f"{secrets.randbits(31):08x}"
        address = f"ipv6:{self._address}" if ":" in self._address else self._address
        content = b"".join(self._content)[1:].replace(b"\r\n", b"\n").replace(b"\n..", b"\n.")
        header = [f"X-Client-Addr: {address}", f"X-Client-Proto: {self._protocol}"]
        header += [f"X-Helo-Args: {self._helo}"] if self._helo else []
        header += [f"X-Mail-Args: {self._mail}", *(f"X-Rcpt-Args: {one}" for one in self._rcpt)]
        stamp = time.strftime("%a, %d %b %Y %H:%M:%S %z (%Z)")
        header += [
            f"Received: from {self._helo or f'[{address}]'} ([{address}])",
            f"\tby {options.hostname} (smtp-sink) with {self._protocol} id {number};",
            f"\t{stamp}",
        ]
        text = options.start + "".join(f"{line}\n" for line in header)
        options.store(text.encode("utf-8", "surrogateescape") + content.removeprefix(b".") + b"\n\n", number)

    def _forget_mail(self) -> None:
        self._has_sender, self._recipients, self._mail = False, 0, ""
        self._rcpt = []
        self._content = []

    def close(self) -> None:
        """Send what is left, and hang up."""
        if not self._open:
            return
        self._flush()
        self._hang_up()

    def _hang_up(self) -> None:
        if not self._open:  # the peer was gone before the flush
            return
        self._open = False
        if self._reading or self._pending:
            self._server.poll.forget(self._socket)
        with contextlib.suppress(OSError):
            self._socket.close()
        if self._options.verbose:
            say("disconnect")
        self._server.gone(self)
