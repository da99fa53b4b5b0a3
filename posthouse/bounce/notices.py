"""Which notice goes to whom: the schedule's Notices.

A failure is told to the sender unless NOTIFY says otherwise, and to bounce_notice_recipient with
notify_classes = bounce. The null sender is never told: its failures go to
2bounce_notice_recipient with the class bounce or 2bounce, and a notice that cannot be delivered
to postmaster either is discarded. Notices enter by the one door (intake), as mail from the null
sender, or from the double bounce address when postmaster gets them.

Standards: RFC 5321 sections 4.5.5 (null reverse path) and 6.1 (never a notice about a notice);
RFC 3461 sections 5.2 and 6.2 (NOTIFY, RET, when to send which). Postfix bounce(8) for the
recipients of copies and for the log lines.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from posthouse.address.verp import verp_sender
from posthouse.bounce.prose import POSTMASTER_SUBJECT, Kind, prose
from posthouse.bounce.report import Notice, render
from posthouse.bounce.settings import BounceSettings
from posthouse.bounce.template import Template, parse_templates
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.envelope.content import Content
from posthouse.envelope.envelope import Envelope, Notify, Recipient
from posthouse.host.log import ProcessLog
from posthouse.intake.stamp import DateStamp
from posthouse.intake.transaction import Accepted, Handling, Intake
from posthouse.message.received import received_local
from posthouse.queue.store import QueuedMessage, QueueFault, QueueFull, StoredRecipient

PASSED_ON = "passed-on"
"""Dsn.action of recipients about whose success another server tells (RFC 3461 section 5.2.2)."""

_NAMES = {
    Kind.FAILURE: "non-delivery notification",
    Kind.DELAY: "delay notification",
    Kind.SUCCESS: "delivery status notification",
    Kind.VERIFY: "delivery status notification",
}


class BounceNotices:
    """Implements schedule/notices.py's Notices."""

    def __init__(
        self,
        settings: BounceSettings,
        intake: Intake,
        log: ProcessLog,
        *,
        templates: Mapping[Kind, Template] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """log: the one of postfix/bounce."""
        self._templates = templates or {}
        self._settings = settings
        self._intake = intake
        self._log = log
        self._clock = clock
        self._date = DateStamp()
        self._charset = "utf-8" if settings.smtputf8_enable else "us-ascii"
        self._double_bounce = f"{settings.double_bounce_sender}@{settings.myhostname}"

    @classmethod
    def open(cls, configuration: Configuration, intake: Intake, log: ProcessLog) -> "BounceNotices":
        """From main.cf. Raises ConfigError."""
        settings = read_settings(BounceSettings, configuration)
        templates: dict[Kind, Template] = {}
        path = settings.bounce_template_file
        if path:
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as file:
                    text = file.read()
            except OSError as error:
                raise ConfigError(f"open {path}: {os.strerror(error.errno or 0)}") from error
            templates = parse_templates(
                text,
                path,
                configuration.expand,
                configuration.seconds,
                lambda name: configuration.parameter(name) is not None,
                log.warning,
            )
        return cls(settings, intake, log, templates=templates)

    async def failed(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        """Non-delivery."""
        recipients = [one for recipient in recipients for one in await self._told_owners(message, content, recipient)]
        if not recipients:
            return
        sender = message.envelope.sender
        classes = self._settings.notify_classes
        if sender.lower() == self._double_bounce.lower():
            self._log.warning(f"{message.queue_id}: undeliverable postmaster notification discarded")
            return
        if not sender:
            if "2bounce" in classes or "bounce" in classes:
                to = self._settings.second_bounce_notice_recipient
                await self._to_postmaster(Kind.FAILURE, to, message, content, recipients, whole=True)
            return
        wanted = [r for r in recipients if _asked(r, Notify.FAILURE)]
        if wanted:
            limit = self._settings.bounce_size_limit
            whole = message.envelope.ret != "HDRS" and (limit <= 0 or content.size <= limit)
            verp = message.envelope.verp
            if verp and not self._settings.disable_verp_bounces:
                for one in wanted:
                    to = verp_sender(sender, verp, one.recipient.original or one.recipient.address)
                    await self._to_sender(Kind.FAILURE, message, content, [one], whole=whole, to=to)
            else:
                await self._to_sender(Kind.FAILURE, message, content, wanted, whole=whole)
        if "bounce" in classes:
            to = self._settings.bounce_notice_recipient
            await self._to_postmaster(Kind.FAILURE, to, message, content, recipients, whole=False)

    async def _told_owners(
        self, message: QueuedMessage, content: Content, recipient: StoredRecipient
    ) -> list[StoredRecipient]:
        """What failed of a recipient that is the sender's to know; owners of aliases are told here, each of one."""
        if not recipient.failures:
            return [recipient]
        found: list[StoredRecipient] = []
        for failure in recipient.failures:
            one = replace(recipient, dsn=failure.dsn, log_recipient=failure.address, failures=())
            if not failure.owner:
                found.append(one)
                continue
            one = replace(one, recipient=Recipient(recipient.recipient.address))
            limit = self._settings.bounce_size_limit
            whole = limit <= 0 or content.size <= limit
            await self._to_sender(Kind.FAILURE, message, content, [one], whole=whole, to=failure.owner)
        return found

    async def delayed(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        """Still in the queue."""
        sender = message.envelope.sender
        if sender.lower() == self._double_bounce.lower():
            return
        wanted = [r for r in recipients if _asked(r, Notify.DELAY)]
        if sender and wanted:
            await self._to_sender(Kind.DELAY, message, content, wanted, whole=False)
        if "delay" in self._settings.notify_classes:
            to = self._settings.delay_notice_recipient
            await self._to_postmaster(Kind.DELAY, to, message, content, recipients, whole=False)

    async def succeeded(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        """Delivered, relayed or expanded, where the sender asked to be told."""
        wanted = [
            _without_original(r)
            for r in recipients
            if r.recipient.notify & Notify.SUCCESS and (r.dsn is None or r.dsn.action != PASSED_ON)
        ]
        if message.envelope.sender and wanted:
            await self._to_sender(Kind.SUCCESS, message, content, wanted, whole=False)

    async def traced(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        """What sendmail -v and -bv ask for."""
        if message.envelope.sender:
            await self._to_sender(Kind.VERIFY, message, content, recipients, whole=False)

    async def _to_sender(
        self,
        kind: Kind,
        message: QueuedMessage,
        content: Content,
        recipients: Sequence[StoredRecipient],
        *,
        whole: bool,
        to: str = "",
    ) -> None:
        settings = self._settings
        template = self._templates.get(kind)
        if template is not None:
            text = template.text
        else:
            text = prose(
                kind, settings.myhostname, waited=settings.delay_warning_time, lifetime=settings.maximal_queue_lifetime
            )
        subject = (template.subject if template is not None else "") or kind.value
        notice = self._notice(kind, subject, message, to or message.envelope.sender, "auto-replied", text, whole)
        queue_id = await self._send(notice, "", message, content, recipients)
        self._log.info(f"{message.queue_id}: sender {_NAMES[kind]}: {queue_id}")

    async def _to_postmaster(
        self,
        kind: Kind,
        to: str,
        message: QueuedMessage,
        content: Content,
        recipients: Sequence[StoredRecipient],
        *,
        whole: bool,
    ) -> None:
        template = self._templates.get(kind)
        subject = (template.postmaster_subject if template is not None else "") or POSTMASTER_SUBJECT[kind]
        notice = self._notice(kind, subject, message, to, "auto-generated", "", whole)
        queue_id = await self._send(notice, self._double_bounce, message, content, recipients)
        self._log.info(f"{message.queue_id}: postmaster {_NAMES[kind]}: {queue_id}")

    def _notice(
        self, kind: Kind, subject: str, message: QueuedMessage, to: str, auto: str, text: str, whole: bool
    ) -> Notice:
        settings = self._settings
        template = self._templates.get(kind)
        now = self._clock()
        until = message.arrival_time + settings.maximal_queue_lifetime
        return Notice(
            kind,
            subject,
            to,
            auto,
            text,
            whole,
            # The queue id of the message, a time and our name: no message of ours holds the line by chance.
            boundary=f"{message.queue_id}.{int(now)}/{settings.myhostname}",
            date=self._date(now),
            arrival_date=self._date(message.arrival_time),
            hostname=settings.myhostname,
            mail_name=settings.mail_name,
            charset=self._charset if template is None or not text else self._charset_of(template),
            sender=(template.sender if template is not None else "")
            or f"Mail Delivery System <MAILER-DAEMON@{settings.myorigin}>",
            retry_until=self._date(until) if kind is Kind.DELAY else "",
        )

    def _charset_of(self, template: Template) -> str:
        """us-ascii is part of what smtputf8_enable has us say."""
        return self._charset if template.charset.lower() == "us-ascii" else template.charset

    async def _send(
        self,
        notice: Notice,
        sender: str,
        message: QueuedMessage,
        content: Content,
        recipients: Sequence[StoredRecipient],
    ) -> str:
        """Queue a notice; the queue id. Raises QueueFull, QueueFault."""
        transaction = self._intake.begin()
        try:
            async for chunk in render(notice, message, content, recipients):
                await transaction.write(chunk)
        except OSError as error:
            transaction.abort()
            raise QueueFault(f"queue file read error: {error.strerror}") from error
        except BaseException:
            transaction.abort()
            raise
        envelope = Envelope(
            sender,
            (Recipient(notice.to, notice.to),),
            smtputf8=message.envelope.smtputf8,
            body="8BITMIME",
        )
        received = received_local(
            hostname=notice.hostname,
            mail_name=notice.mail_name,
            queue_id=transaction.queue_id,
            date=notice.date,
        )
        answer = await transaction.commit(envelope, received, Handling())
        if isinstance(answer, Accepted):
            return answer.queue_id
        if answer.code == 452:
            raise QueueFull(answer.text)
        raise QueueFault(answer.text)


def _without_original(recipient: StoredRecipient) -> StoredRecipient:
    """A list with an owner has delivered: who it was expanded for is said in the machine's part only."""
    dsn, given = recipient.dsn, recipient.recipient
    if dsn is None or dsn.action != "delivered" or not dsn.reason.endswith(": alias expanded"):
        return recipient
    orcpt = given.orcpt or (f"rfc822;{given.original}" if given.original else "")
    return replace(recipient, recipient=replace(given, original="", orcpt=orcpt))


def _asked(recipient: StoredRecipient, wish: Notify) -> bool:
    """Whether NOTIFY lets this notice go out (RFC 3461 section 4.1: without NOTIFY, failures and delays are told)."""
    notify = recipient.recipient.notify
    return not notify or bool(notify & wish)
