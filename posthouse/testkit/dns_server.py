"""A small authoritative name server for tests, the sandbox and the bench: UDP and TCP, its own names only.

    # name               [ttl] type data
    example.com          MX    10 mail.example.com
    mail.example.com     A     127.0.0.1
    1.0.0.127.in-addr.arpa PTR mail.example.com
    www.example.com      CNAME mail.example.com
    *.sub.example.com    A     127.0.0.2
    nomail.example       MX    0 .
    broken.example       SERVFAIL
    closed.example       REFUSED
    silent.example       SILENT         never answered
    large.example        TRUNCATED      answers over UDP are cut
    signed.example       SECURE         answers carry the AD bit
    example.com          TXT   "v=spf1 -all"

A name that is not listed does not exist (NXDOMAIN with a SOA); a name that is listed, or stands above a listed one, has
no data of other types. Behaviour words hold for a name and all names below it.

    python -m posthouse.testkit.dns_server --listen 127.0.0.1:5353 --zones FILE

Standards: RFC 1035; RFC 2308; RFC 4592 (wildcards); RFC 6891.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from posthouse.wire.dns import (
    AA,
    AD,
    NOERROR,
    NXDOMAIN,
    QR,
    RA,
    RD,
    REFUSED,
    SERVFAIL,
    TC,
    Message,
    Resource,
    encode_message,
    parse_message,
    type_number,
)
from posthouse.wire.dns_name import DnsFormatError

BEHAVIOURS = frozenset({"SERVFAIL", "REFUSED", "SILENT", "TRUNCATED", "SECURE"})
TTL = 300
NEGATIVE_TTL = 60
CHAIN_LIMIT = 12
TCP_IDLE = 30.0
"""Seconds a TCP client may say nothing."""


@dataclass(slots=True)
class Zones:
    """What the server knows."""

    records: dict[str, list[Resource]] = field(default_factory=dict)
    behaviours: dict[str, set[str]] = field(default_factory=dict)
    parents: set[str] = field(default_factory=set)

    def add(self, name: str, rtype: str, data: str, ttl: int = TTL) -> None:
        """One line."""
        name = name.lower().removesuffix(".")
        rtype = rtype.upper()
        if rtype in BEHAVIOURS:
            self.behaviours.setdefault(name, set()).add(rtype)
            return
        preference = 0
        if rtype == "MX":
            number, _, data = data.partition(" ")
            preference = int(number)
        if rtype == "TXT":
            data = "".join(data[1:-1].split('" "')) if data.startswith('"') else data
        elif rtype in ("MX", "CNAME", "PTR", "NS"):
            data = data.strip().removesuffix(".")
        type_number(rtype)
        self.records.setdefault(name, []).append(Resource(name, rtype, ttl, data, preference))
        while "." in name:
            name = name.partition(".")[2]
            self.parents.add(name)

    def behaves(self, name: str) -> set[str]:
        """The behaviour words for a name."""
        found: set[str] = set()
        while name:
            found |= self.behaviours.get(name, set())
            name = name.partition(".")[2]
        return found

    def at(self, name: str) -> list[Resource] | None:
        """The records of a name (perhaps none), or None when it does not exist."""
        found = self.records.get(name)
        if found is not None:
            return found
        if name in self.parents or name in self.behaviours:
            return []
        rest = name
        while "." in rest:
            rest = rest.partition(".")[2]
            wild = self.records.get("*." + rest)
            if wild is not None:
                return [Resource(name, r.rtype, r.ttl, r.data, r.preference) for r in wild]
            if rest in self.records or rest in self.parents:
                break
        return None


def parse_zones(text: str) -> Zones:
    """The zones in the text. Raises ValueError that names the line."""
    zones = Zones()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(None, 1)
        if not words or words[0][0] in "#;":
            continue
        try:
            name, rest = words
            ttl = TTL
            rtype, _, data = rest.strip().partition(" ")
            if rtype.isdigit():
                ttl = int(rtype)
                rtype, _, data = data.strip().partition(" ")
            zones.add(name, rtype, data.strip(), ttl)
        except (ValueError, DnsFormatError) as error:
            raise ValueError(f"zones, line {number}: {line.strip()}: {error}") from error
    return zones


def answer(zones: Zones, query: Message, *, tcp: bool) -> Message | None:
    """What the server says to a query; None: it keeps silent."""
    if len(query.questions) != 1:
        return Message(query.ident, QR, 1)
    question = query.questions[0]
    name = question.name.lower()
    words = zones.behaves(name)
    flags = QR | AA | RA | (query.flags & RD)

    def reply(
        rcode: int, answers: tuple[Resource, ...] = (), authority: tuple[Resource, ...] = (), more: int = 0
    ) -> Message:
        payload_size = 1232 if query.payload_size else 0
        return Message(
            query.ident, flags | more, rcode, (question,), answers, authority, (), payload_size, query.dnssec_ok
        )

    if "SILENT" in words:
        return None
    if "SERVFAIL" in words:
        return reply(SERVFAIL)
    if "REFUSED" in words:
        return reply(REFUSED)
    if "TRUNCATED" in words and not tcp:
        return reply(NOERROR, more=TC)
    secure = AD if "SECURE" in words else 0
    answers: list[Resource] = []
    rcode = NOERROR
    for _ in range(CHAIN_LIMIT):
        records = zones.at(name)
        if records is None:
            rcode = NXDOMAIN
            break
        found = [r for r in records if r.rtype == question.rtype or question.rtype == "ANY"]
        alias = [r for r in records if r.rtype == "CNAME"]
        answers += found or alias
        if found or not alias:
            break
        name = alias[0].data.lower()
    ends = any(r.rtype == question.rtype for r in answers)
    authority = (
        () if ends else (Resource(_top(name), "SOA", NEGATIVE_TTL, f"ns.invalid root.invalid 1 1 1 1 {NEGATIVE_TTL}"),)
    )
    message = reply(rcode, tuple(answers), authority, secure)
    if not tcp and len(encode_message(message)) > max(query.payload_size, 512):
        return reply(NOERROR, more=TC)
    return message


def _top(name: str) -> str:
    return ".".join(name.split(".")[-2:])


class DnsServer:
    """Serves zones. `queries` tells what was asked, and `replace` changes the zones while it runs."""

    def __init__(self, zones: str) -> None:
        self.zones = parse_zones(zones)
        self.queries: list[tuple[str, str, str]] = []
        """(name, type, "udp" or "tcp") in the order they came."""
        self.address: tuple[str, int] = ("", 0)
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, zones: str = "", host: str = "127.0.0.1", port: int = 0) -> "DnsServer":
        """A server that listens; port 0: any that is free for UDP and TCP both."""
        server = cls(zones)
        loop = asyncio.get_running_loop()
        for attempt in range(20):
            udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), local_addr=(host, port))
            bound = udp.get_extra_info("sockname")[1]
            try:
                server._tcp = await asyncio.start_server(server._on_connection, host, bound)
            except OSError:
                udp.close()
                if port or attempt == 19:
                    raise
                continue
            server._udp = udp
            server.address = (host, bound)
            break
        return server

    def replace(self, zones: str) -> None:
        """Serve other zones from now on."""
        self.zones = parse_zones(zones)

    async def aclose(self) -> None:
        """Close sockets and connections."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await self._tcp.wait_closed()

    def respond(self, data: bytes, transport: str) -> bytes | None:
        """The reply to one query, or None."""
        try:
            query = parse_message(data)
        except DnsFormatError:
            return None
        if query.flags & QR:
            return None
        for question in query.questions:
            self.queries.append((question.name.lower(), question.rtype, transport))
        message = answer(self.zones, query, tcp=transport == "tcp")
        return None if message is None else encode_message(message)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    reply = self.respond(await reader.readexactly(length), "tcp")
                if reply is not None:
                    writer.write(len(reply).to_bytes(2, "big") + reply)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._send: Callable[[bytes, tuple[str, int]], None] = lambda data, address: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: asyncio's own datagram transport of 3.11 is no DatagramTransport.
        self._send = cast(asyncio.DatagramTransport, transport).sendto

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.respond(data, "udp")
        if reply is not None:
            self._send(reply, addr)


async def _serve(listen: str, zones: str) -> None:
    host, _, port = listen.rpartition(":")
    server = await DnsServer.start(zones, host.strip("[]"), int(port))
    print(f"listening on {server.address[0]}:{server.address[1]}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await server.aclose()


def main(arguments: list[str]) -> int:
    """Serve a zone file until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m posthouse.testkit.dns_server", allow_abbrev=False)
    parser.add_argument("--listen", default="127.0.0.1:5353", metavar="ADDRESS:PORT")
    parser.add_argument("--zones", required=True, metavar="FILE")
    options = parser.parse_args(arguments)
    with open(options.zones, encoding="utf-8") as file:
        zones = file.read()
    try:
        asyncio.run(_serve(options.listen, zones))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
