"""The seam of connections: bytes in, bytes out, a deadline on every read, TLS in place.

Implementations: net/tcp.py over asyncio Protocols; a pair in memory for tests.
"""

import ssl
from dataclasses import dataclass
from typing import Protocol

from posthouse.envelope.value import value


class StreamTimeout(Exception):
    """The peer did not send, or did not take, in time."""


class StreamClosed(Exception):
    """The connection is gone: reset, or closed by us. An orderly end of file is b"" from read()."""


class TlsFailed(Exception):
    """The handshake failed; the text is OpenSSL's short reason."""


@value
class Address:
    """One end of a connection. For a Unix socket host is "" and port 0."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What a handshake agreed on."""

    protocol: str
    """"TLSv1.3"."""
    cipher: str
    """"TLS_AES_256_GCM_SHA384"."""
    bits: int
    peer_certificate: bytes | None = None
    """DER, or None when the peer sent none."""
    verified: bool = False
    """Whether the peer's chain and name were verified."""
    server_name: str = ""
    """RFC 6066 SNI as the client sent it, or ""."""
    resumed: bool = False
    """Whether an earlier session goes on: by a ticket, or by what one of the two had kept."""
    key_exchange: str = ""
    """TLS 1.3: key exchange and the server's signature, in Postfix's words (net/handshake_words.py)."""
    client_signature: str = ""
    """TLS 1.3: what the client signed with, or "" ."""

    @property
    def words(self) -> str:
        """All of it, as the log has it."""
        cipher = f"{self.protocol} with cipher {self.cipher} ({self.bits}/{self.bits} bits)"
        return " ".join(filter(None, (cipher, self.key_exchange, self.client_signature)))


class Stream(Protocol):
    """One connection. One reader and one writer at a time."""

    @property
    def peer(self) -> Address:
        """The other end."""

    @property
    def local(self) -> Address:
        """Our end."""

    @property
    def tls(self) -> TlsInfo | None:
        """None in plain text."""

    async def read(self, timeout: float) -> bytes:
        """Whatever has come, at least one byte; b"" at end of file. Raises StreamTimeout, StreamClosed."""

    def write(self, data: bytes) -> None:
        """Queue bytes to be sent. Ignored once the connection is gone (the next read tells)."""

    def send(self, data: bytes) -> bool:
        """Send at once, with what is queued: for the last bytes before a wait. False: drain() should follow."""

    async def drain(self, timeout: float) -> None:
        """Wait until little enough is unsent. Raises StreamTimeout, StreamClosed."""

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_name: str = "",
        timeout: float,
        session: ssl.SSLSession | None = None,
    ) -> TlsInfo:
        """Hand-shake, going on with an earlier session of this context where the server will. Plaintext read ahead is
        discarded (RFC 3207 section 4.2: no injection). Raises TlsFailed."""

    def tls_session(self) -> ssl.SSLSession | None:
        """What a later connection may go on with: to be asked once the server has said something in TLS (TLS 1.3
        sends tickets after the handshake)."""

    def tls_chain(self) -> tuple[bytes, ...]:
        """The certificates that the peer has shown, its own first, in DER; none of them verified by this."""

    def buffered(self) -> bool:
        """Whether bytes wait to be read (pipelined commands): replies are then held back and sent together."""

    def close(self) -> None:
        """Send what is queued, then close."""

    def abort(self) -> None:
        """Close at once."""
