"""One message over one open connection: the dialogue, and what it means for each recipient.

Whatever happens, every recipient gets a Result: sent, refused for good, or refused for now. What
a server already said stands when the connection breaks afterwards: an LMTP server's 250 for one
recipient, a 550 for another.

Standards: RFC 5321 sections 3.3, 4.5.3.2 (timeouts), 4.2.1 (codes); RFC 2033 section 4.2;
RFC 1870 section 6.1 (SIZE); RFC 6531 section 3.2 (SMTPUTF8).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from posthouse.envelope.content import MemoryBody
from posthouse.envelope.envelope import Notify
from posthouse.envelope.outcome import Dsn
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.envelope.value import value
from posthouse.host.log import ProcessLog
from posthouse.net.stream import StreamClosed, StreamTimeout
from posthouse.tables.table import TableRetry
from posthouse.transport.smtp.connection import Connection
from posthouse.transport.smtp.content import WireContent
from posthouse.transport.smtp.eight_bit import says_eight_bit, to_seven_bit
from posthouse.transport.smtp.outgoing import Outgoing
from posthouse.transport.smtp.reasons import SiteFailed, refused, said
from posthouse.transport.smtp.settings import SmtpSettings
from posthouse.wire.smtp.client import WHILE, Step, Transaction
from posthouse.wire.smtp.client_commands import mail_command, rcpt_command, xtext
from posthouse.wire.smtp.reply import Reply

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

    def __init__(self, settings: SmtpSettings, log: ProcessLog, outgoing: Outgoing | None, *, lmtp: bool) -> None:
        self._settings = settings
        self._log = log
        self._outgoing = outgoing
        self._quote = settings.smtp_quote_rfc821_envelope
        self._as_it_is = settings.disable_mime_output_conversion
        self._lmtp = lmtp
        # RFC 3464 section 2.3.3: an LMTP server that says nothing of DSN may be the last one.
        self._action = "delivered" if lmtp and settings.lmtp_assume_final else "relayed"
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
        transcript = connection.transcript
        if kept:
            connection.queue_id = request.queue_id
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
                size=size if offer.eight_bit or request.body == "7BIT" or self._as_it_is else 0,
                body=body,
                ret=request.ret,
                envid=request.envid,
                smtputf8=request.smtputf8,
                null_auth=self._settings.smtp_send_dummy_mail_auth and self._settings.smtp_sasl_auth_enable,
                quote=self._quote,
            ),
            [rcpt_command(queued.recipient, offer, quote=self._quote) for queued in recipients],
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
                    if transcript is not None:
                        transcript.sent(out)
                if transaction.content_wanted:
                    if transaction.empty:
                        connection.stream.send(transaction.end_content())
                    else:
                        await self._send_content(connection, request, transaction)
                    if transcript is not None:
                        transcript.sent(b".")
                    if transaction.unanswered:
                        connection.closing = True  # who takes content for nobody may answer all the same
                        break
                step = transaction.step
                reply = await connection.reply(self._timeouts[step], WHILE[step])
                if connection.closing and kept and not transaction.started:
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
        if self._outgoing is not None:
            try:
                content = await self._outgoing.content(content, request.queue_id)
            except TableRetry:
                raise self._broken_off(connection) from None
        wire = WireContent(settings.smtp_line_length_limit)
        body = content.body
        if isinstance(body, MemoryBody):
            data = wire.feed(content.header + b"\r\n" + body.data) + wire.finish()
            if wire.broke:
                self._tell_broken(request)
            if connection.delay_dot:
                stream.send(data)
                data = b""
                await asyncio.sleep(settings.smtp_pix_workaround_delay_time)
            stream.send(data + transaction.end_content())
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
            raise self._broken_off(connection, "queue file read error") from None
        except TableRetry:
            raise self._broken_off(connection) from None
        if wire.broke:
            self._tell_broken(request)
        if connection.delay_dot:
            await asyncio.sleep(settings.smtp_pix_workaround_delay_time)
        stream.write(transaction.end_content())

    def _broken_off(self, connection: Connection, reason: str = "") -> SiteFailed:
        # The server must not take half a message for a whole one: no dot is sent, the connection is dropped.
        connection.stream.abort()
        reason = reason or f"local data error while talking to {connection.candidate.label}"
        return SiteFailed(Dsn("4.3.0", reason))

    def _tell_broken(self, request: DeliveryRequest) -> None:
        limit = self._settings.smtp_line_length_limit
        self._log.info(f"{request.queue_id}: breaking line > {limit} bytes with <CR><LF>SPACE")

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
        mail = transaction.mail_reply
        if mail is not None and mail.code // 100 != 2:
            return _refused(mail, connection, Step.MAIL)
        rcpt = transaction.rcpt_replies[number]
        if rcpt is not None and rcpt.code // 100 != 2:
            return _refused(rcpt, connection, Step.RCPT)
        final = transaction.final_replies.get(number)
        if probe and rcpt is not None:
            final = rcpt
        if final is not None:
            if final.code // 100 != 2:
                return _refused(final, connection, Step.DOT)
            notify = queued.recipient.notify
            passed_on = connection.offer.dsn and notify is not Notify.NONE and notify & Notify.SUCCESS
            action = PASSED_ON if passed_on else self._action
            words = said(final)
            return Dsn(final.enhanced_status, words, action, "smtp", words, "dns", connection.candidate.host)
        data = transaction.data_reply
        if data is not None and data.code // 100 != 3:
            return _refused(data, connection, Step.DATA)
        assert broken is not None, "a dialogue ends with a reply or breaks"
        return broken


def _refused(reply: Reply, connection: Connection, step: Step) -> Dsn:
    if reply.code // 100 not in (4, 5):
        connection.closing = True  # who answers so may be out of step
    if connection.transcript is not None:
        connection.transcript.judge(reply.code)
    candidate = connection.candidate
    return refused(reply, candidate.label, candidate.host, step.value)


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
