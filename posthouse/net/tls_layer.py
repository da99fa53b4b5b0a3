"""TLS as a layer between a connection and its reader, on memory buffers.

Ciphertext goes in, plaintext comes out, and the other way round; the owner moves the bytes.
One layer holds about 16 KB where asyncio's own holds 275 KB, and STARTTLS puts it in place
without a new transport, so nothing said in plain text can cross the switch.

Standards: RFC 8446; RFC 6066 section 3 (SNI); RFC 5246 section 7.2.1 (closure alerts).
"""

import _ssl
import ssl

from posthouse.net.handshake_words import handshake_words
from posthouse.net.stream import TlsFailed, TlsInfo

READ_SIZE = 65536
"""Plaintext taken from OpenSSL at once; a record holds at most 16 KiB, so four of them."""


class NamedSSLObject(ssl.SSLObject):
    """An SSLObject that remembers the host name its client asked for (set by the context's SNI callback)."""

    requested_name: str = ""


def reason(error: ssl.SSLError | OSError) -> str:
    """OpenSSL's short reason in lower case, e.g. "wrong version number"."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verification failed: {error.verify_message}"
    words = getattr(error, "reason", None) or str(error)
    return str(words).replace("_", " ").lower()


class TlsLayer:
    """One TLS connection without a socket."""

    __slots__ = ("_incoming", "_object", "_outgoing", "ended")

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_name: str,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name or None
        )
        if session is not None:
            self._object.session = session
        self.ended = False
        """Whether the peer sent its closure alert."""

    def feed(self, ciphertext: bytes) -> None:
        """Take what came from the network."""
        self._incoming.write(ciphertext)

    def feed_eof(self) -> None:
        """The network side ended."""
        self._incoming.write_eof()

    def ciphertext(self) -> bytes:
        """What must go to the network now."""
        return self._outgoing.read()

    def handshake(self) -> bool:
        """Go on with the handshake; True when it is done. Raises TlsFailed."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise TlsFailed("lost connection") from error
        except (ssl.SSLError, ssl.CertificateError, OSError) as error:
            raise TlsFailed(reason(error)) from error
        return True

    def read(self) -> bytes:
        """All plaintext that can be had now. Raises TlsFailed on garbage."""
        parts = []
        try:
            while True:
                part = self._object.read(READ_SIZE)
                if not part:
                    self.ended = True
                    break
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLEOFError:
            self.ended = (
                True  # peers that close without an alert are common; the protocols above have ends of their own
            )
        except ssl.SSLError as error:
            raise TlsFailed(reason(error)) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, plaintext: bytes) -> bytes:
        """Encrypt; gives the ciphertext."""
        self._object.write(plaintext)
        return self._outgoing.read()

    def close(self) -> bytes:
        """Our closure alert, ready to be sent; the peer's is not waited for."""
        try:
            self._object.unwrap()
        except (ssl.SSLError, OSError):
            pass
        return self._outgoing.read()

    def session(self) -> ssl.SSLSession | None:
        """The session as it stands, or None when it cannot go on in another connection."""
        found = self._object.session
        return found if found is not None and (found.has_ticket or found.id) else None

    def chain(self) -> tuple[bytes, ...]:
        """The certificates that the server has shown, its own first, in DER."""
        if hasattr(self._object, "get_unverified_chain"):  # Python 3.13
            return tuple(self._object.get_unverified_chain())
        found = self._object._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]  # its form until then
        return tuple(certificate.public_bytes(_ssl.ENCODING_DER) for certificate in found)

    def info(self, *, verified: bool) -> TlsInfo:
        """What was agreed on."""
        name, _, bits = self._object.cipher() or ("", "", 0)
        exchange, signature = handshake_words(self._object, server_side=self._object.server_side)
        requested = self._object.requested_name if isinstance(self._object, NamedSSLObject) else ""
        return TlsInfo(
            protocol=self._object.version() or "",
            cipher=name,
            bits=bits,
            peer_certificate=self._object.getpeercert(binary_form=True),
            verified=verified,
            server_name=requested or (self._object.server_hostname or ""),
            resumed=bool(self._object.session_reused),
            key_exchange=exchange,
            client_signature=signature,
        )
