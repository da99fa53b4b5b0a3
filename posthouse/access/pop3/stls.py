"""STLS, and TLS from the first byte (pop3d_tls_wrappermode).

What the client said before is forgotten with the handshake, and bytes that it sent behind STLS in
plain text are dropped: by the stream, and what was read already by us.

Standards: RFC 2595 section 4.
"""

from posthouse.access.pop3.conversation import SessionEnded
from posthouse.access.pop3.guest import Guest
from posthouse.net.stream import StreamClosed, StreamTimeout, TlsFailed
from posthouse.wire.pop3.command import Command
from posthouse.wire.pop3.reply import SYS_TEMP, Reply, error, ok

ACTIVE = error("TLS already active")
NOT_OFFERED = error("STLS is not available")
UNAVAILABLE = error("TLS not available due to local problem", SYS_TEMP)
GO_AHEAD = ok("Begin TLS negotiation")


async def stls(guest: Guest, command: Command) -> Reply | bytes:
    """STLS: the reply is sent here, for the handshake follows it."""
    conversation = guest.conversation
    if conversation.stream.tls is not None:
        return ACTIVE
    if not guest.service.settings.tls_offered:
        return NOT_OFFERED
    if guest.service.tls_context is None:
        return UNAVAILABLE
    await conversation.flush()
    conversation.stream.write(bytes(GO_AHEAD))  # no suspension before start_tls(): what has come by now is plain text
    await handshake(guest)
    conversation.begin_again()
    guest.user = ""
    return b""


async def handshake(guest: Guest) -> None:
    """Shake hands and log. Raises SessionEnded."""
    service, stream = guest.service, guest.conversation.stream
    assert service.tls_context is not None
    try:
        info = await stream.start_tls(
            service.tls_context, server_side=True, timeout=service.settings.smtpd_starttls_timeout
        )
    except TlsFailed as failure:
        lost = str(failure) == "lost connection"
        guest.log.info(f"SSL_accept error from {guest.client}: {'lost connection' if lost else '-1'}")
        if not lost:
            guest.log.warning(f"TLS library problem: {failure}")
        raise SessionEnded("lost connection") from None
    except StreamClosed:
        raise SessionEnded("lost connection") from None
    except StreamTimeout:
        guest.log.info(f"SSL_accept error from {guest.client}: Connection timed out")
        raise SessionEnded("lost connection") from None
    if service.settings.smtpd_tls_loglevel > 0:
        guest.log.info(
            f"Anonymous TLS connection established from {guest.client}: {info.protocol} with cipher {info.cipher} "
            f"({info.bits}/{info.bits} bits)"
        )
