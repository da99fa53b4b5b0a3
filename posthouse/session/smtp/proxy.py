"""smtpd_proxy_filter: a content filter before the queue. The session hands its client's message to an SMTP server
and its replies to the client.

The filter is connected to at the first recipient that the lists accept, hears who the client is (XFORWARD, when it
offers that), MAIL and RCPT as the client said them, and the content with our Received field as it comes. With
smtpd_proxy_options = speed_adjust it is connected to when the whole message has come, so that it has fewer slow
clients to wait for; what it refuses then is told at the end of data. A filter that is down or breaks off means 451.

Standards: RFC 5321 sections 4.1.1 and 4.5.2; Postfix's SMTPD_PROXY_README and XFORWARD_README.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from typing import NoReturn

from posthouse.dns.resolver import DnsRetry
from posthouse.envelope.envelope import Envelope
from posthouse.envelope.handling import Handling
from posthouse.envelope.verdict import Evidence
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout
from posthouse.policy.milter.chain import Chain
from posthouse.session.smtp.client_line import log_client
from posthouse.session.smtp.proxy_filter import ProxyFilter
from posthouse.session.smtp.seams import Answered
from posthouse.session.smtp.session import SmtpSession
from posthouse.session.smtp.transaction import Transaction
from posthouse.wire.smtp.client_commands import xtext
from posthouse.wire.smtp.client_offer import Offer, parse_offer
from posthouse.wire.smtp.client_reader import ClientReplyReader
from posthouse.wire.smtp.reply import RemoteProtocolError, Reply
from posthouse.wire.smtp.stuffing import DotStuffing

WRITE_ERROR = Reply(451, "4.3.0", "Error: queue file write error")
XFORWARD_LIMIT = 512
"""Bytes of one XFORWARD command: more attributes go in another one (RFC 5321 section 4.5.3.1.4)."""
MEMORY_LIMIT = 65536
"""Bytes of a message that wait in memory with speed_adjust; a larger one waits in a file."""
PIECE = 65536
"""Bytes read from that file at a time."""


class FilterFailed(Exception):
    """The filter cannot be used for this message. `reply`: what the client hears."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


def begin_filtered(session: SmtpSession, transaction: Transaction, proxy: ProxyFilter) -> "LiveFilter":
    """A message that the filter shall see."""
    filtered = (LateFilter if proxy.late else LiveFilter)(proxy, session, transaction)
    transaction.proxy = transaction.intake = filtered
    return filtered


class FilterTalk:
    """One connection to the filter."""

    def __init__(self, proxy: ProxyFilter, session: SmtpSession) -> None:
        self._proxy = proxy
        self._session = session
        self._stream: Stream | None = None
        self._replies = ClientReplyReader()
        self._stuffing = DotStuffing()
        self._in_content = False
        """Whether the filter waits for the end of data: what is said then would be content."""

    async def open(self, mail: str) -> None:
        """Connect, introduce ourselves and the client, say MAIL. Raises FilterFailed."""
        proxy = self._proxy
        try:
            self._stream = await proxy.connect(proxy.name, float(proxy.timeout))
        except (OSError, StreamTimeout, DnsRetry) as error:
            self._session.log.warning(f"connect to proxy filter {proxy.name}: {_reason(error)}")
            raise FilterFailed(WRITE_ERROR) from error
        self._must("connection request", await self._reply())
        hello = f"EHLO {proxy.ehlo}"
        offer = parse_offer(self._must(hello, await self._say(hello)))
        for command in self._xforward(offer):
            self._must(command, await self._say(command))
        refused = await self.refusal(mail)
        if refused is not None:
            raise FilterFailed(refused)

    async def refusal(self, command: str, *, wanted: int = 2) -> Reply | None:
        """Say a command; the reply when it is not of the class that is wanted. Raises FilterFailed."""
        reply = await self._say(command)
        if reply.code // 100 == wanted:
            return None
        self._warn(command, reply)
        return reply

    def _must(self, command: str, reply: Reply) -> Reply:
        """A 2xx reply, or the filter is of no use."""
        if reply.code // 100 != 2:
            self._warn(command, reply)
            raise FilterFailed(WRITE_ERROR)
        return reply

    def _warn(self, command: str, reply: Reply) -> None:
        said = "\r\n".join(reply.lines())
        self._session.log.warning(f'proxy {self._proxy.name} rejected "{command}": "{said}"')

    async def _say(self, command: str) -> Reply:
        if self._stream is None:
            raise FilterFailed(WRITE_ERROR)
        self._stream.write(command.encode("utf-8", "surrogateescape") + b"\r\n")
        return await self._reply()

    async def write(self, content: bytes) -> None:
        """A piece of the content. Raises FilterFailed."""
        if self._stream is None:
            raise FilterFailed(WRITE_ERROR)
        self._in_content = True
        self._stream.write(self._stuffing.feed(content))
        try:
            await self._stream.drain(self._proxy.timeout)
        except (StreamTimeout, StreamClosed) as error:
            self._lost(error)

    async def finish(self) -> Reply:
        """The end of data, and what the filter says of the message. Raises FilterFailed."""
        if self._stream is None:
            raise FilterFailed(WRITE_ERROR)
        self._stream.write(self._stuffing.finish())
        self._in_content = False
        return await self._reply()

    async def _reply(self) -> Reply:
        assert self._stream is not None
        timeout = self._proxy.timeout
        try:
            while True:
                reply = self._replies.next_reply()
                if reply is not None:
                    return reply
                await self._stream.drain(timeout)
                data = await self._stream.read(timeout)
                if not data:
                    self._lost(None)
                self._replies.receive(data)
        except (StreamTimeout, StreamClosed, RemoteProtocolError) as error:
            self._lost(error)

    def _lost(self, error: Exception | None) -> NoReturn:
        name = self._proxy.name
        what = "timeout talking to" if isinstance(error, StreamTimeout) else "lost connection with"
        self._session.log.warning(f"{what} proxy {name}")
        if self._stream is not None:
            self._stream.abort()
            self._stream = None
        raise FilterFailed(WRITE_ERROR)

    def close(self) -> None:
        """Say goodbye; nobody waits for the answer."""
        if self._stream is not None:
            if not self._in_content:
                self._stream.write(b"QUIT\r\n")
            self._stream.close()
            self._stream = None

    def _xforward(self, offer: Offer) -> Iterator[str]:
        """Who the client is, in as many commands as it takes."""
        session = self._session
        client = session.forwarded or session.client
        local = session.forwarded_local
        if local is None:
            local = client.address == session.server_address or client.address in ("127.0.0.1", "::1")
        address = f"IPv6:{client.address}" if ":" in client.address else client.address
        values = {
            "NAME": client.name,
            "ADDR": address,
            "PORT": client.port,
            "HELO": client.helo,
            "IDENT": session.forwarded_id,
            "PROTO": client.protocol,
            "SOURCE": "LOCAL" if local else "REMOTE",
        }
        command = "XFORWARD"
        for name, value in values.items():
            if name not in offer.xforward:
                continue
            word = f" {name}={xtext(value) if value and value != 'unknown' else '[UNAVAILABLE]'}"
            if len(command) + len(word) > XFORWARD_LIMIT:
                yield command
                command = "XFORWARD"
            command += word
        if command != "XFORWARD":
            yield command


class LiveFilter:
    """One message that the filter sees as it comes; implements DoorTransaction (seams.py)."""

    queue_id = ""
    """There is none: the message enters the queue behind the filter, if at all."""

    def __init__(self, proxy: ProxyFilter, session: SmtpSession, transaction: Transaction) -> None:
        self._proxy = proxy
        self._session = session
        self._transaction = transaction
        self._talk: FilterTalk | None = None
        self._failed: Reply | None = None

    async def open(self) -> Reply | None:
        """Reach the filter; why that failed, or None. A failure can be followed by another try."""
        talk = FilterTalk(self._proxy, self._session)
        try:
            await talk.open(f"MAIL {self._transaction.mail}")
        except FilterFailed as failure:
            talk.close()
            return failure.reply
        self._talk = talk
        log_client(self._session, "NOQUEUE")
        return None

    async def recipient(self, argument: str) -> Reply | None:
        """RCPT's argument as the client gave it; the refusal, or None."""
        assert self._talk is not None
        try:
            return await self._talk.refusal(f"RCPT {argument}")
        except FilterFailed as failure:
            return failure.reply

    async def data(self, received: bytes, handling: Handling) -> Reply | None:
        """DATA, and the fields that go on top; the refusal, or None."""
        assert self._talk is not None
        try:
            refused = await self._talk.refusal("DATA", wanted=3)
            if refused is None:
                await self._talk.write(b"".join([text + b"\r\n" for text in handling.prepend]) + received)
        except FilterFailed as failure:
            return failure.reply
        return refused

    async def write(self, chunk: bytes) -> None:
        """Content as it comes. Never raises; what goes wrong is told by commit()."""
        if self._failed is None:
            assert self._talk is not None
            try:
                await self._talk.write(chunk)
            except FilterFailed as failure:
                self._failed = failure.reply

    async def commit(
        self, envelope: Envelope, received: bytes, handling: Handling, *, milters: Chain | None = None
    ) -> Answered:
        """The end of data: the filter's answer is the client's."""
        assert self._talk is not None
        reply = self._failed
        try:
            reply = reply or await self._talk.finish()
        except FilterFailed as failure:
            reply = failure.reply
        self._talk.close()
        return self._told(reply)

    def _told(self, reply: Reply) -> Answered:
        """Log and journal what the filter said of the message."""
        session, said = self._session, "\r\n".join(reply.lines())
        word = "accept" if reply.code // 100 == 2 else "reject"
        first = self._transaction.recipients[0].address
        session.log.info(f"proxy-{word}: END-OF-MESSAGE: {said}; {session.whatsup(first)}")
        reason = Evidence("smtpd_proxy_filter", self._proxy.origin, self._proxy.name, said)
        session.record("filtered" if word == "accept" else "refused", "", f"proxy-{word}: {said}", (reason,))
        return Answered(reply)

    def too_large(self) -> None:
        """Forget it."""
        self.abort()

    def abort(self) -> None:
        """Forget it (RSET, lost connection): the filter never hears the end of data."""
        if self._talk is not None:
            self._talk.close()


class LateFilter(LiveFilter):
    """One message that the filter sees when all of it has come (speed_adjust)."""

    def __init__(self, proxy: ProxyFilter, session: SmtpSession, transaction: Transaction) -> None:
        super().__init__(proxy, session, transaction)
        self._lines: list[str] = []
        self._content = tempfile.SpooledTemporaryFile(MEMORY_LIMIT)  # closed by commit() or abort()

    async def open(self) -> Reply | None:
        """Later."""
        log_client(self._session, "NOQUEUE")
        return None

    async def recipient(self, argument: str) -> Reply | None:
        """Taken for now."""
        self._lines.append(f"RCPT {argument}")
        return None

    async def data(self, received: bytes, handling: Handling) -> Reply | None:
        """Taken for now."""
        await self.write(b"".join([text + b"\r\n" for text in handling.prepend]) + received)
        return None

    async def write(self, chunk: bytes) -> None:
        """Keep it."""
        if self._failed is not None:
            return
        try:
            await asyncio.to_thread(self._content.write, chunk)
        except OSError as error:
            self._session.log.warning(f"before-queue filter: {_reason(error)}")
            self._failed = WRITE_ERROR

    async def commit(
        self, envelope: Envelope, received: bytes, handling: Handling, *, milters: Chain | None = None
    ) -> Answered:
        """Now the filter hears everything; the first refusal is the answer."""
        talk = FilterTalk(self._proxy, self._session)
        try:
            reply = self._failed or await self._replay(talk)
        except FilterFailed as failure:
            reply = failure.reply
        talk.close()
        self.abort()
        return self._told(reply)

    async def _replay(self, talk: FilterTalk) -> Reply:
        await talk.open(f"MAIL {self._transaction.mail}")
        for line in self._lines:
            refused = await talk.refusal(line)
            if refused is not None:
                return refused
        refused = await talk.refusal("DATA", wanted=3)
        if refused is not None:
            return refused
        await asyncio.to_thread(self._content.seek, 0)
        while piece := await asyncio.to_thread(self._content.read, PIECE):
            await talk.write(piece)
        return await talk.finish()

    def abort(self) -> None:
        """Forget it."""
        self._content.close()


def _reason(error: Exception) -> str:
    if isinstance(error, StreamTimeout):
        return "Connection timed out"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error)
