"""One question to one name server: UDP, and TCP when the answer was cut.

Standards: RFC 1035 section 4.2; RFC 7766 section 5 (TC means ask again by TCP); RFC 5452 section 9.1 (an answer
counts only from the server asked, with our id and our question; the port is the kernel's random one).
"""

import asyncio
from collections.abc import Callable

from posthouse.dns.servers import Server
from posthouse.wire.dns import FORMERR, NOTIMP, QR, TC, Message, Question, encode_query, parse_message
from posthouse.wire.dns_name import DnsFormatError

PAYLOAD_SIZE = 1232
"""Octets a UDP answer may have: what passes without fragments (DNS flag day 2020)."""


class ExchangeFailed(Exception):
    """No usable answer from this server."""


class _Datagrams(asyncio.DatagramProtocol):
    """Waits for the one datagram that answers."""

    def __init__(self, fits: Callable[[bytes], Message | None]) -> None:
        self._fits = fits
        self.answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.answer.done():
            message = self._fits(data)
            if message is not None:
                self.answer.set_result(message)

    def error_received(self, exc: Exception) -> None:
        # A connected socket hears of ICMP port unreachable: no need to wait for the timeout.
        if not self.answer.done():
            self.answer.set_exception(ExchangeFailed(str(exc)))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.cancel()


def _fitting(data: bytes, ident: int, question: Question) -> Message | None:
    """The message, when it answers our question."""
    try:
        message = parse_message(data)
    except DnsFormatError:
        return None
    if message.ident != ident or not message.flags & QR:
        return None
    if not message.questions:
        # Servers that do not understand EDNS may answer without the question.
        return message if message.rcode in (FORMERR, NOTIMP) else None
    asked = message.questions[0]
    return message if asked.rtype == question.rtype and asked.name.lower() == question.name.lower() else None


async def ask(server: Server, question: Question, ident: int, timeout: float, *, dnssec_ok: bool) -> Message:
    """The server's answer, whole. Raises ExchangeFailed; takes at most twice `timeout` seconds."""
    message = await _ask_udp(server, question, ident, timeout, payload_size=PAYLOAD_SIZE, dnssec_ok=dnssec_ok)
    if message.rcode in (FORMERR, NOTIMP) and not message.payload_size:
        # RFC 6891 section 7: a server that knows no EDNS is asked again without.
        message = await _ask_udp(server, question, ident, timeout, payload_size=0, dnssec_ok=False)
    if message.flags & TC:
        message = await _ask_tcp(server, question, ident, timeout, dnssec_ok=dnssec_ok)
    return message


async def _ask_udp(
    server: Server, question: Question, ident: int, timeout: float, *, payload_size: int, dnssec_ok: bool
) -> Message:
    query = encode_query(ident, question.name, question.rtype, payload_size=payload_size, dnssec_ok=dnssec_ok)
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _Datagrams(lambda data: _fitting(data, ident, question)), remote_addr=server
        )
    except OSError as error:
        raise ExchangeFailed(str(error)) from error
    try:
        transport.sendto(query)
        async with asyncio.timeout(timeout):
            return await protocol.answer
    except TimeoutError:
        raise ExchangeFailed("timed out") from None
    finally:
        transport.close()


async def _ask_tcp(server: Server, question: Question, ident: int, timeout: float, *, dnssec_ok: bool) -> Message:
    query = encode_query(ident, question.name, question.rtype, payload_size=PAYLOAD_SIZE, dnssec_ok=dnssec_ok)
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(*server)
            writer.write(len(query).to_bytes(2, "big") + query)
            length = int.from_bytes(await reader.readexactly(2), "big")
            message = _fitting(await reader.readexactly(length), ident, question)
    except (OSError, EOFError, TimeoutError) as error:
        raise ExchangeFailed(str(error) or "timed out") from error
    finally:
        if writer is not None:
            writer.close()
    if message is None:
        raise ExchangeFailed("malformed answer")
    return message
