"""The client behind a load balancer (smtpd_upstream_proxy_protocol = haproxy).

The header must come first and in time; a connection without one ends: taking the balancer for
the client would open every restriction that trusts its address.

Standards: HAProxy's proxy-protocol.txt.
"""

from posthouse.net.connection import TcpStream
from posthouse.net.stream import Address, StreamClosed, StreamTimeout
from posthouse.wire.haproxy import ProxyHeaderError, parse_proxy_header


async def proxied(stream: TcpStream, timeout: float) -> tuple[Address, Address] | str:
    """(client, server) of the proxied connection, or why there is none."""
    data = b""
    try:
        while (header := parse_proxy_header(data)) is None:
            more = await stream.read(timeout)
            if not more:
                return "lost connection"
            data += more
    except StreamTimeout:
        return "timeout"
    except StreamClosed:
        return "lost connection"
    except ProxyHeaderError as error:
        return str(error)
    stream.unread(data[header.length :])
    if not header.source:
        return stream.peer, stream.local
    return Address(header.source, header.source_port), Address(header.destination, header.destination_port)
