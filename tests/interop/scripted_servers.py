"""SMTP and LMTP servers that play a script: what they say at each step, and what they heard.

A script names the answer at each step (greeting, EHLO, HELO, LHLO, MAIL, RCPT, DATA, DOT, and other verbs): one text
for every time, or a tuple, one for each time, the last for all that follow. Lines are parted by "\\n" and end in CRLF
on the wire. An answer that ends in CLOSE ends the connection after it; after NOTHING not a word is said any more.
"""

import contextlib
import re
import socketserver
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

CLOSE = "<close>"
NOTHING = "<nothing>"
Answer = str | tuple[str, ...]

DEFAULTS: dict[str, Answer] = {
    "greeting": "220 peer.test ESMTP",
    "EHLO": "250-peer.test\n250-PIPELINING\n250-SIZE 1000000\n250-8BITMIME\n250-DSN\n250 ENHANCEDSTATUSCODES",
    "LHLO": "250-peer.test\n250-PIPELINING\n250 ENHANCEDSTATUSCODES",
    "HELO": "250 peer.test",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go on",
    "DOT": "250 2.0.0 Ok",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye" + CLOSE,
    "AUTH": "235 2.7.0 Ok",
}


@dataclass(slots=True)
class Heard:
    """One server's memory."""

    name: str
    port: int
    answers: Mapping[str, Answer]
    sessions: list[list[str]] = field(default_factory=list)
    """What was said to it, by connection; content as one line after "| "."""
    asked: dict[str, int] = field(default_factory=dict)
    """How often each step was reached, over all connections."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, step: str) -> str:
        """What is said now."""
        with self.lock:
            number = self.asked[step] = self.asked.get(step, 0) + 1
        found = self.answers.get(step, DEFAULTS.get(step, "500 5.5.2 What?"))
        return found if isinstance(found, str) else found[min(number, len(found)) - 1]


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.heard: Heard = self.server.heard  # type: ignore[attr-defined]  # set below
        said: list[str] = []
        self.heard.sessions.append(said)
        with contextlib.suppress(OSError):
            self._converse(said)

    def _converse(self, said: list[str]) -> None:
        lmtp = "LHLO" in self.heard.answers
        accepted = 0
        going_on = self._say("greeting")
        while going_on and (line := self.rfile.readline()):
            text = line.rstrip(b"\r\n").decode("latin-1")
            said.append(re.sub(r" SIZE=\d+", " SIZE=N", text))
            verb = text.split(" ", 1)[0].upper()
            if verb == "MAIL":
                accepted = 0
            answer = self.heard.answer(verb)
            going_on = self._send(answer)
            if verb == "RCPT" and answer.startswith("2"):
                accepted += 1
            while verb == "AUTH" and going_on and answer.startswith("334"):
                said.append("(secret) " + self.rfile.readline().decode("latin-1").strip())
                answer = self.heard.answer("AUTH2")
                going_on = self._send(answer)
            if verb == "DATA" and going_on and answer.startswith("3"):
                content = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    content.append(line)
                if not line:
                    said.append("| (unfinished)")
                    return
                said.append("| " + b"".join(content).decode("latin-1"))
                for _ in range(accepted if lmtp else 1):
                    going_on = going_on and self._say("DOT")

    def _say(self, step: str) -> bool:
        return self._send(self.heard.answer(step))

    def _send(self, answer: str) -> bool:
        if answer == NOTHING:
            while self.rfile.read1(65536):  # until the client gives up
                pass
            return False
        text = answer.removesuffix(CLOSE)
        if text:
            self.wfile.write(text.replace("\n", "\r\n").encode("latin-1") + b"\r\n")
        return text == answer

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 50


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def scripted_servers(scripts: Mapping[str, Mapping[str, Answer]]) -> Iterator[dict[str, Heard]]:
    """One server for each script, on ports of 127.0.0.1."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Heard] = {}
        servers: list[_Server] = []
        for name, script in scripts.items():
            server = stack.enter_context(_Server(("127.0.0.1", 0), _Session))
            heard = found[name] = Heard(name, server.server_address[1], script)
            server.heard = heard  # type: ignore[attr-defined]  # read above
            servers.append(server)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:  # all at once: each looks twice a second whether it is to end
            with ThreadPoolExecutor(max(1, len(servers))) as threads:
                list(threads.map(_Server.shutdown, servers))
