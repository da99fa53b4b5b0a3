"""What a server under measurement offers."""

import socket
import time
from typing import Protocol


class PeerFailed(Exception):
    """The server is missing, does not start, or did not do its work in time."""


class Peer(Protocol):
    """One private server on loopback."""

    name: str
    port: int
    """Where it takes mail: SMTP, or LMTP for stores."""
    sink_port: int
    """Where it relays to."""
    config: str
    """Its configuration directory."""
    commands: str
    """Where its postconf and sendmail are, with a slash, or "" when it has none."""

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises PeerFailed."""

    def stop(self) -> None:
        """Stop it."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for_port(port: int, seconds: float = 20.0) -> None:
    """Wait until somebody listens. Raises PeerFailed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 1.0):
                return
        except OSError:
            time.sleep(0.05)
    raise PeerFailed(f"nobody listens on port {port}")
