"""The client behind a load balancer (smtpd_upstream_proxy_protocol = haproxy).

The header must come first and in time; a connection without one ends: taking the balancer for
the client would open every restriction that trusts its address.

Standards: HAProxy's proxy-protocol.txt.
"""

from posthouse.net.connection import TcpStream
from posthouse.net.stream import Address, StreamClosed, StreamTimeout
from posthouse.wire.escape import escaped
from posthouse.wire.haproxy import ProxyHeaderError, parse_proxy_header

SHOWN = 100
"""Bytes of what came that are logged when it is no header."""


async def proxied(stream: TcpStream, timeout: float) -> tuple[Address, Address] | str:
    """(client, server) of the proxied connection, or why there is none, for the log."""
    data = b""
    loop = stream.loop
    deadline = loop.time() + timeout
    try:
        while (header := parse_proxy_header(data)) is None:
            more = await stream.read(max(deadline - loop.time(), 0.001))
            if not more:
                return "EOF"
            data += more
    except StreamTimeout:
        return "time limit exceeded"
    except StreamClosed:
        return "EOF"
    except ProxyHeaderError as error:
        return f"{error}: {escaped(data[:SHOWN])}"
    stream.unread(data[header.length :])
    if not header.source:
        return stream.peer, stream.local
    return Address(header.source, header.source_port), Address(header.destination, header.destination_port)
