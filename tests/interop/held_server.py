"""An SMTP server that has a message whole and does not answer until it is told to."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator

from tests.system.machine import eventually


class HeldServer:
    """One server: who gave it mail to whom, and the gate before its answer to the final dot."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.got: list[list[str]] = []
        """The recipients of each message, from when its final dot came."""
        self.contents: list[str] = []
        self._answer = "250 2.0.0 Ok"
        self._gate = threading.Event()

    def hold(self, answer: str = "250 2.0.0 Ok") -> None:
        """Keep quiet from now on; the next answer is to be this."""
        self._gate.clear()
        self._answer = answer

    def let_go(self) -> None:
        """Say what waits, and answer at once from now on."""
        self._gate.set()

    def took(self, recipients: list[str], content: str) -> str:
        """A message is here; what to say of it, once it may be said."""
        self.got.append(recipients)
        self.contents.append(content)
        held = not self._gate.is_set()
        self._gate.wait(60)
        return self._answer if held else "250 2.0.0 Ok"

    def wait_for(self, messages: int, within: float = 30.0) -> None:
        """Until so many messages came."""
        eventually(lambda: len(self.got) >= messages, f"message {messages} at the server: {self.got}", within)


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self._converse(self.server.held)  # type: ignore[attr-defined]  # set below

    def _converse(self, held: HeldServer) -> None:
        self._say("220 held.test ESMTP")
        recipients: list[str] = []
        while line := self.rfile.readline():
            verb, _, rest = line.rstrip(b"\r\n").partition(b" ")
            match verb.upper():
                case b"EHLO":
                    self._say("250-held.test\r\n250-PIPELINING\r\n250 8BITMIME")
                case b"RCPT":
                    recipients.append(rest[4:].rstrip(b">").decode("latin-1"))
                    self._say("250 2.1.5 Ok")
                case b"DATA":
                    self._say("354 go on")
                    content = []
                    while (line := self.rfile.readline()) not in (b".\r\n", b""):
                        content.append(line)
                    if not line:
                        return
                    taken, recipients = recipients, []
                    self._say(held.took(taken, b"".join(content).decode("latin-1")))
                case b"QUIT":
                    self._say("221 2.0.0 Bye")
                    return
                case _:
                    self._say("250 2.0.0 Ok")

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 50


@contextlib.contextmanager
def held_server() -> Iterator[HeldServer]:
    """A server on a port of 127.0.0.1."""
    with _Server(("127.0.0.1", 0), _Session) as server:
        held = server.held = HeldServer(server.server_address[1])  # type: ignore[attr-defined]  # read above
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield held
        finally:
            held.let_go()
            server.shutdown()
