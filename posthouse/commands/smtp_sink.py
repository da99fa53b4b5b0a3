"""smtp-sink: take mail and throw it away. Manual: smtp-sink(1) of Postfix 3.7.

    smtp-sink [options] [inet:][host]:port backlog
    smtp-sink [options] unix:path backlog

For measuring clients, not protocols: arguments of commands are not looked at. With -d or -D the mail is kept in
files. The program of Postfix ends with -M before it answers the last message; this one answers first.
"""

import contextlib
import os
import socket
import sys
import time

from posthouse.commands.poll import Poll, endpoints
from posthouse.commands.smtp_sink_options import PROGRAM, Fatal, Sink, parse_options, say
from posthouse.commands.smtp_sink_session import Connection


class Server:
    """The listeners, what they count, and when they end."""

    def __init__(self, options: Sink) -> None:
        self.options = options
        self.poll = Poll()
        self.sessions = self.quits = self.messages = 0
        self._open: set[Connection] = set()
        self._listeners: list[socket.socket] = []
        self._listening = False

    def run(self) -> None:
        """Listen, drop rights, serve. Raises Fatal."""
        options = self.options
        try:
            for family, address in endpoints(options.target, options.family, listen=True):
                self._listeners.append(self._listen(family, address))
        except OSError as error:
            raise Fatal(str(error)) from error
        if options.root:
            try:
                os.chroot(options.root)
                os.chdir("/")
            except OSError as error:
                raise Fatal(f"chroot({options.root}): {error.strerror}") from error
        if options.identity is not None:
            uid, gid, groups = options.identity
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
        self._listen_on(True)
        self.poll.later(1.0, self._look_for_the_idle)
        self.poll.run()
        for connection in list(self._open):
            connection.close()
        for listener in self._listeners:
            listener.close()

    def _listen(self, family: int, address: object) -> socket.socket:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family == socket.AF_UNIX:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(str(address))
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if self.options.window:
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    listener.setsockopt(socket.SOL_SOCKET, option, self.options.window)
            listener.bind(address)  # type: ignore[arg-type]  # of getaddrinfo, or a path
            listener.listen(self.options.backlog)
        except OSError as error:
            raise Fatal(f"bind {self.options.target}: {error.strerror}") from error
        listener.setblocking(False)
        return listener

    def _listen_on(self, wanted: bool) -> None:
        """At the limit of connections the others wait in the kernel."""
        if wanted == self._listening:
            return
        self._listening = wanted
        for listener in self._listeners:
            if wanted:
                self.poll.watch(listener, lambda listener=listener: self._accept(listener))  # type: ignore[misc]
            else:
                self.poll.forget(listener)

    def _accept(self, listener: socket.socket) -> None:
        while len(self._open) < self.options.concurrency:
            try:
                client, address = listener.accept()
            except OSError:
                return
            client.setblocking(False)
            if self.options.verbose:
                say(f"connect ({listener.family.name} {address[0] if isinstance(address, tuple) else 'unix'})")
            connection = Connection(self, client, address[0] if isinstance(address, tuple) else "127.0.0.1")
            self._open.add(connection)
            connection.greet()
        self._listen_on(False)

    def count(self) -> None:
        """Show the counters, and end when they say so."""
        options = self.options
        if options.counter:
            sys.stdout.write(f"sess={self.sessions} quit={self.quits} mesg={self.messages}\r")
            sys.stdout.flush()
        if 0 < options.quit_sessions <= self.sessions or 0 < options.quit_messages <= self.messages:
            self.poll.stop()

    def gone(self, connection: Connection) -> None:
        """A session has ended."""
        self._open.discard(connection)
        self.sessions += 1
        self._listen_on(True)
        self.count()

    def _look_for_the_idle(self) -> None:
        now = time.monotonic()
        for connection in [one for one in self._open if now - one.busy > self.options.timeout]:
            say("warning: read timeout")
            connection.close()
        self.poll.later(1.0, self._look_for_the_idle)


def main(arguments: list[str]) -> int:
    """Run the program; returns its exit status."""
    try:
        Server(parse_options(arguments)).run()
    except Fatal as error:
        sys.stdout.flush()
        sys.stderr.write(f"{PROGRAM}: fatal: {error}\n")
        return 1
    return 0
