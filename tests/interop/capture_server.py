"""An SMTP server that takes everything and remembers it, parameters of MAIL and RCPT included."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Captured:
    """What one recipient got."""

    recipient: bytes
    sender: bytes
    content: bytes


@dataclass(slots=True)
class Capture:
    """A server's memory."""

    port: int
    got: list[Captured] = field(default_factory=list)


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        capture: Capture = self.server.capture  # type: ignore[attr-defined]  # set below
        self._say(b"220 capture.test ESMTP")
        sender, recipients = b"", []
        while line := self.rfile.readline():
            verb, _, rest = line.rstrip(b"\r\n").partition(b" ")
            match verb.upper():
                case b"EHLO":
                    words = (b"capture.test", b"PIPELINING", b"SIZE", b"8BITMIME", b"SMTPUTF8", b"DSN")
                    lines = [b"250-" + word for word in words]
                    self._say(b"\r\n".join([*lines, b"250 ENHANCEDSTATUSCODES"]))
                case b"MAIL":
                    # SIZE= is the carrier's own estimate.
                    sender = b" ".join(word for word in rest[5:].split() if not word.startswith(b"SIZE="))
                    recipients = []
                    self._say(b"250 2.1.0 Ok")
                case b"RCPT":
                    recipients.append(rest[3:])
                    self._say(b"250 2.1.5 Ok")
                case b"DATA":
                    self._say(b"354 go on")
                    content = []
                    while (line := self.rfile.readline()) not in (b".\r\n", b""):
                        content.append(line)
                    whole = b"".join(content)
                    capture.got += [Captured(recipient, sender, whole) for recipient in recipients]
                    self._say(b"250 2.0.0 Ok")
                case b"QUIT":
                    self._say(b"221 2.0.0 Bye")
                    return
                case _:
                    self._say(b"250 2.0.0 Ok")

    def _say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100


@contextlib.contextmanager
def capture_server(port: int) -> Iterator[Capture]:
    """A server on a port of 127.0.0.1."""
    with _Server(("127.0.0.1", port), _Session) as server:
        capture = Capture(server.server_address[1])
        server.capture = capture  # type: ignore[attr-defined]  # read above
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield capture
        finally:
            server.shutdown()
            thread.join()
