"""One message over one open connection: the dialogue, and what it means for each recipient.

Whatever happens, every recipient gets a Result: sent, refused for good, or refused for now. What
a server already said stands when the connection breaks afterwards: an LMTP server's 250 for one
recipient, a 550 for another.

Standards: RFC 5321 sections 3.3, 4.5.3.2 (timeouts), 4.2.1 (codes); RFC 2033 section 4.2;
RFC 1870 section 6.1 (SIZE); RFC 6531 section 3.2 (SMTPUTF8).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from posthouse.envelope.content import MemoryBody
from posthouse.envelope.envelope import Notify
from posthouse.envelope.outcome import Dsn
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.envelope.value import value
from posthouse.net.stream import StreamClosed, StreamTimeout
from posthouse.transport.smtp.connection import Connection
from posthouse.transport.smtp.content import WireContent
from posthouse.transport.smtp.eight_bit import says_eight_bit, to_seven_bit
from posthouse.transport.smtp.reasons import SiteFailed, refused, said
from posthouse.transport.smtp.settings import SmtpSettings
from posthouse.wire.smtp.client import WHILE, Step, Transaction
from posthouse.wire.smtp.client_commands import mail_command, rcpt_command, xtext

PASSED_ON = "passed-on"
"""Dsn.action of a recipient whose next host takes over the DSN duties (RFC 3461 section 5.2.2): no success notice
from us."""


@value
class Result:
    """What became of one recipient on this connection."""

    recipient: QueuedRecipient
    dsn: Dsn
    """Class 2: sent. Class 5: refused for good. Class 4: not now; another host may take it."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The kept connection turned out to be closed before the server said anything: nothing has happened."""


class Exchange:
    """Carries messages over connections, by the settings of one transport."""

    def __init__(self, settings: SmtpSettings, *, lmtp: bool) -> None:
        self._settings = settings
        self._lmtp = lmtp
        self._timeouts = {
            Step.MAIL: settings.smtp_mail_timeout,
            Step.RCPT: settings.smtp_rcpt_timeout,
            Step.DATA: settings.smtp_data_init_timeout,
            Step.DOT: settings.smtp_data_done_timeout,
            Step.RSET: settings.smtp_rset_timeout,
        }

    async def carry(
        self, connection: Connection, request: DeliveryRequest, recipients: Sequence[QueuedRecipient]
    ) -> list[Result] | Stale:
        """Send the message to these recipients."""
        offer = connection.offer
        kept = connection.uses > 0
        connection.uses += 1
        size = request.content.size
        obstacle = self._obstacle(connection, request, recipients)
        if obstacle is not None:
            return [Result(recipient, obstacle) for recipient in recipients]
        body = request.body
        if says_eight_bit(request.content):
            body = "8BITMIME"
            if not offer.eight_bit and not self._settings.disable_mime_output_conversion:
                try:
                    request = replace(request, content=await to_seven_bit(request.content))
                except OSError:
                    unreadable = Dsn("4.3.0", "queue file read error")
                    return [Result(recipient, unreadable) for recipient in recipients]
        transaction = Transaction(
            mail_command(
                request.sender,
                offer,
                size=size,
                body=body,
                ret=request.ret,
                envid=request.envid,
                smtputf8=request.smtputf8,
                null_auth=self._settings.smtp_send_dummy_mail_auth,
            ),
            [rcpt_command(queued.recipient, offer) for queued in recipients],
            pipelining=offer.pipelining,
            lmtp=self._lmtp,
            probe=request.trace_only,
        )
        broken: Dsn | None = None
        try:
            if self._settings.smtp_send_xforward_command and offer.xforward:
                await self._xforward(connection, request)
            while not transaction.done:
                out = transaction.output()
                if out:
                    connection.stream.send(out)
                if transaction.content_wanted:
                    if transaction.empty:
                        connection.stream.send(transaction.end_content())
                    else:
                        await self._send_content(connection, request, transaction)
                step = transaction.step
                reply = await connection.reply(self._timeouts[step], WHILE[step])
                if reply.code == 421:
                    connection.usable = False  # RFC 5321 section 4.2.2: the server is closing
                    if kept and not transaction.started:
                        return Stale()
                transaction.receive(reply)
        except SiteFailed as failure:
            if kept and not transaction.started and failure.dsn.reason.startswith("lost connection"):
                return Stale()
            broken = failure.dsn
            connection.usable = False
        if connection.usable and not request.trace_only and not transaction.dotted:
            # RFC 5321 section 4.1.1.5: the server may still hold a transaction that came to nothing.
            try:
                await connection.ask("RSET", self._settings.smtp_rset_timeout, "sending final RSET")
            except SiteFailed:
                connection.usable = False
        return [
            Result(
                recipient,
                self._fate(transaction, number, recipient, broken, connection, request.trace_only),
            )
            for number, recipient in enumerate(recipients)
        ]

    def _obstacle(
        self, connection: Connection, request: DeliveryRequest, recipients: Sequence[QueuedRecipient]
    ) -> Dsn | None:
        """Why this server cannot take the message at all."""
        offer = connection.offer
        label = connection.candidate.label
        if offer.size and request.content.size > offer.size:
            # RFC 1870 section 6.1: not worth trying.
            return Dsn(
                "5.3.4", f"message size {request.content.size} exceeds size limit {offer.size} of server {label}"
            )
        if (
            request.smtputf8
            and not offer.smtputf8
            and not (
                request.sender.isascii()
                and request.content.header.isascii()
                and all(queued.recipient.address.isascii() for queued in recipients)
            )
        ):
            # RFC 6531 section 3.2: such a message must not be sent to a server that does not know.
            return Dsn("5.6.7", f"SMTPUTF8 is required, but was not offered by host {label}")
        return None

    async def _send_content(self, connection: Connection, request: DeliveryRequest, transaction: Transaction) -> None:
        settings = self._settings
        stream = connection.stream
        content = request.content
        wire = WireContent(settings.smtp_line_length_limit)
        body = content.body
        if isinstance(body, MemoryBody):
            data = wire.feed(content.header + b"\r\n" + body.data)
            stream.send(data + wire.finish() + transaction.end_content())
            return
        try:
            stream.write(wire.feed(content.header + b"\r\n"))
            async for chunk in body.chunks():
                stream.write(wire.feed(chunk))
                await stream.drain(settings.smtp_data_xfer_timeout)
            stream.write(wire.finish())
        except StreamTimeout:
            raise SiteFailed(
                Dsn("4.4.2", f"conversation with {connection.candidate.label} timed out while sending message body")
            ) from None
        except StreamClosed:
            raise SiteFailed(
                Dsn("4.4.2", f"lost connection with {connection.candidate.label} while sending message body")
            ) from None
        except OSError:
            # The server must not take half a message for a whole one: no dot is sent, the connection is dropped.
            stream.abort()
            raise SiteFailed(Dsn("4.3.0", "queue file read error")) from None
        stream.write(transaction.end_content())

    async def _xforward(self, connection: Connection, request: DeliveryRequest) -> None:
        # Postfix's XFORWARD_README: two commands, each with the attributes that the server asked for.
        for names in (("NAME", "ADDR", "PORT"), ("PROTO", "HELO", "IDENT", "SOURCE")):
            words = []
            for name in names:
                value = _xforward_value(name, request) if name in connection.offer.xforward else ""
                if value:
                    words.append(f"{name}={xtext(value)}")
            if words:
                await connection.ask(
                    "XFORWARD " + " ".join(words), self._settings.smtp_xforward_timeout, "sending XFORWARD name/address"
                )

    def _fate(
        self,
        transaction: Transaction,
        number: int,
        queued: QueuedRecipient,
        broken: Dsn | None,
        connection: Connection,
        probe: bool,
    ) -> Dsn:
        candidate = connection.candidate
        host = candidate.host
        mail = transaction.mail_reply
        if mail is not None and mail.code // 100 != 2:
            return refused(mail, candidate.label, host, Step.MAIL.value)
        rcpt = transaction.rcpt_replies[number]
        if rcpt is not None and rcpt.code // 100 != 2:
            return refused(rcpt, candidate.label, host, Step.RCPT.value)
        final = transaction.final_replies.get(number)
        if probe and rcpt is not None:
            final = rcpt
        if final is not None:
            if final.code // 100 != 2:
                return refused(final, candidate.label, host, Step.DOT.value)
            notify = queued.recipient.notify
            passed_on = connection.offer.dsn and notify is not Notify.NONE and notify & Notify.SUCCESS
            action = PASSED_ON if passed_on else "relayed"
            words = said(final)
            return Dsn(final.enhanced_status, words, action, "smtp", words, "dns", host)
        data = transaction.data_reply
        if data is not None and data.code // 100 != 3:
            return refused(data, candidate.label, host, Step.DATA.value)
        assert broken is not None, "a dialogue ends with a reply or breaks"
        return broken


def _xforward_value(name: str, request: DeliveryRequest) -> str:
    """What is known, or ""; of mail that was submitted here nothing but that."""
    client = request.client
    if name == "SOURCE":
        return "LOCAL" if request.local_rewrite else "REMOTE"
    if not client.protocol:
        return ""
    address = client.address
    return {
        "NAME": "" if client.name == "unknown" else client.name,
        "ADDR": f"IPv6:{address}" if ":" in address else address,
        "PORT": client.port,
        "PROTO": client.protocol,
        "HELO": client.helo,
        "IDENT": request.queue_id,
    }[name]
