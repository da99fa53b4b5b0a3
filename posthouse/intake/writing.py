"""One message on its way in, and what commit() does with it.

Standards: RFC 5321 sections 4.1.1.4 and 6.3; RFC 5322 section 2.1.
"""

from dataclasses import replace

from posthouse.address.local_part import quote_address
from posthouse.envelope.content import Body, Content
from posthouse.envelope.envelope import Client, Envelope, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.envelope.verdict import Evidence
from posthouse.intake.content_checks import Decision
from posthouse.intake.expansion import Expanded
from posthouse.intake.filtering import Filtering
from posthouse.intake.header_pass import HeaderPass
from posthouse.intake.incoming import IncomingContent
from posthouse.intake.milter_message import Draft, split_header
from posthouse.intake.refusals import (
    EXPANSION_TROUBLE,
    NO_RECIPIENTS,
    TABLE_TROUBLE,
    TOO_MANY_HOPS,
)
from posthouse.intake.service import Cleanup, GiveBack
from posthouse.intake.steps import record_discard, record_steps
from posthouse.intake.transaction import Accepted, Handling, Refused
from posthouse.message.date import message_id
from posthouse.policy.milter.chain import Chain
from posthouse.queue.store import (
    NewMessage,
    QueuedMessage,
    QueueFault,
    QueueFull,
    RecipientState,
    State,
    StoredRecipient,
)
from posthouse.routing.virtual_alias import ExpansionRefused
from posthouse.tables.table import TableRetry

EXPANDED = Dsn("2.0.0", "alias expanded", action="expanded")
"""RFC 3461 section 5.2.7: what the sender of an alias with several members is told."""


def _has_utf8(sender: str, recipients: tuple[Recipient, ...], header: bytes) -> bool:
    """As cleanup(8): any 8-bit text of the submitted header is taken for UTF-8; what we add to it does not count."""
    if not sender.isascii() or not all(recipient.address.isascii() for recipient in recipients):
        return True
    return not header.isascii()


class CleanupTransaction:
    """Implements posthouse.intake.transaction.IntakeTransaction."""

    def __init__(self, cleanup: Cleanup, arrival_time: float | None = None) -> None:
        self._cleanup = cleanup
        self._queue_id = cleanup.store.new_queue_id()
        self._arrival = cleanup.clock() if arrival_time is None else arrival_time
        self._replaces = ""
        self._content = IncomingContent(cleanup, self._queue_id)

    @property
    def queue_id(self) -> str:
        """Given at the start."""
        return self._queue_id

    async def write(self, chunk: bytes) -> None:
        """Content as it comes. Never raises; what goes wrong is told by commit()."""
        await self._content.write(chunk)

    def too_large(self) -> None:
        """More comes than there may be: forget it, once the log has said whose message it was."""
        content, log = self._content, self._cleanup.log
        given = content.message_id()
        if given is not None:
            settings = self._cleanup.settings
            made = message_id(
                self._arrival, self._queue_id, settings.myhostname, long_queue_ids=settings.enable_long_queue_ids
            )
            log.info(f"{self._queue_id}: message-id={given or made}")
        log.warning("mail_stream_cleanup: close error")
        self.abort()

    def abort(self) -> None:
        """Forget it."""
        self._content.abort()

    async def commit(
        self,
        envelope: Envelope,
        received: bytes,
        handling: Handling,
        *,
        full_name: str = "",
        give_back: GiveBack | None = None,
        detect_smtputf8: bool = False,
        milters: Chain | None = None,
        replaces: str = "",
    ) -> Accepted | Refused:
        """Clean up, expand, make durable. `full_name` is of the user who submitted here, for a missing From.

        With `give_back` a message that content checks or the hop count reject counts as accepted and goes back to
        its sender: whoever submits on this machine has gone when pickup finds out. `detect_smtputf8`: UTF-8 in
        addresses or header makes it a message for SMTPUTF8 servers (RFC 6531 section 3.2), though nobody said so.
        `milters`: those that the session has been talking to, or None. `replaces` is the queued message that goes when
        this one is durable; when it is discarded or returned instead, the caller takes the other away.
        """
        self._replaces = replaces
        content = self._content
        await content.finish()
        if content.failure is not None:
            return content.failure
        evidence: list[Evidence] = []
        warnings: list[str] = []
        title = "canonical_maps"
        try:
            sender = await self._cleanup.clean_sender(envelope.sender, evidence, warnings)
            header = HeaderPass(
                self._cleanup,
                self._queue_id,
                self._arrival,
                sender,
                envelope.local_rewrite,
                full_name,
                finish_rejected=give_back is not None,
            )
            title = "header_checks"
            await header.run(received, content.header or b"", content.fields, handling.prepend)
            title = "virtual_alias_maps"
            made = (content.disallowed, header.decision, content.strict_decision, content.body_decision)
            decisions = [decision for decision in made if decision is not None]
            refused = self._verdict(header, decisions, whole=give_back is not None)
            discard = handling.discard or any(d.discard for d in decisions)
            if discard or (refused is not None and give_back is None):
                if not handling.discard and refused is not TOO_MANY_HOPS:  # else nobody looks at it, or not to its end
                    await self._log_decisions(decisions, envelope, sender)
                if refused is not None and give_back is None:
                    content.fail(refused)
                    return refused
                self.abort()
                return Accepted(self._queue_id)
            bcc = (*handling.bcc, *(address for d in decisions for address in d.bcc))
            submitted = not envelope.client.protocol
            forwarded = submitted and give_back is None
            expanded = await self._cleanup.expansion.expand(
                sender, envelope.recipients, bcc, evidence, warnings, submitted=submitted, forwarded=forwarded
            )
            redirect = next((d.redirect for d in decisions if d.redirect), handling.redirect)
            if redirect:
                expanded = self._cleanup.expansion.redirected(expanded, redirect)
            await self._log_decisions(decisions, envelope, sender)
        except TableRetry:
            content.table_trouble(title)
            return TABLE_TROUBLE
        except ExpansionRefused as refusal:
            self._cleanup.log.warning(f"{self._queue_id}: {refusal} -- message not accepted, try again later")
            content.fail(EXPANSION_TROUBLE)
            return EXPANSION_TROUBLE
        for warning in (*warnings, *header.warnings):
            self._cleanup.log.warning(f"{self._queue_id}: {warning}")
        if not expanded.recipients:
            content.fail(NO_RECIPIENTS)
            return NO_RECIPIENTS
        if refused is not None and give_back is not None:
            return await self._return(refused, give_back, self._message(envelope, sender, expanded.recipients), header)
        draft: Draft | None = None
        checks: Decision | None = None
        held = False
        if milters is not None or self._cleanup.milters is not None:
            filtering = await self._filter(milters, envelope, sender, expanded, header, hold=bool(handling.hold))
            if isinstance(filtering, Refused):
                if give_back is None or filtering.code < 500:
                    content.fail(filtering)
                    return filtering
                return await self._return(
                    filtering, give_back, self._message(envelope, sender, expanded.recipients), header
                )
            draft, held = filtering.draft, filtering.hold
            checks, evidence = draft.checks, evidence + draft.evidence
            if filtering.discard or not draft.expanded.recipients:
                return self._discard(envelope, draft)
            envelope, sender, expanded, header.text = draft.envelope, draft.sender, draft.expanded, draft.text
        if checks is not None:
            decisions.append(checks)
        hold = held or bool(handling.hold) or any(d.hold for d in decisions)
        chosen = next((d.content_filter for d in reversed(decisions) if d.content_filter), handling.content_filter)
        if not chosen and self._cleanup.filtered:
            chosen = self._cleanup.settings.content_filter
        evidence += [*header.evidence, *(reason for d in decisions for reason in d.evidence)]
        if detect_smtputf8 and not envelope.smtputf8 and _has_utf8(sender, expanded.recipients, content.header or b""):
            envelope = replace(envelope, smtputf8=True)
        return await self._enqueue(
            envelope, sender, expanded, header, chosen, hold, evidence, None if draft is None else draft.body
        )

    async def _filter(
        self,
        milters: Chain | None,
        envelope: Envelope,
        sender: str,
        expanded: Expanded,
        header: HeaderPass,
        *,
        hold: bool,
    ) -> Filtering | Refused:
        """Through the milters. The body must be whole by now: they read it, and may replace it."""
        try:
            body = await self._content.body()
        except (QueueFull, QueueFault) as error:
            return self._content.not_written(error)
        fields = split_header(header.text)
        own = fields.index(header.received) if header.received in fields else -1
        draft = Draft(self._queue_id, envelope, sender, expanded, fields, own, body)
        filtering = Filtering(self._cleanup, draft, self._content.begin_body_again, hold=hold)
        try:
            if milters is not None:
                refused = await filtering.of_session(milters)
            else:
                assert self._cleanup.milters is not None
                refused = await filtering.of_local(self._cleanup.milters)
            if refused is None:
                refused = await filtering.checked()
        except TableRetry:
            self._content.table_trouble("milter_header_checks")
            return TABLE_TROUBLE
        except ExpansionRefused as trouble:
            self._cleanup.log.warning(f"{self._queue_id}: {trouble} -- message not accepted, try again later")
            return TABLE_TROUBLE
        for warning in draft.warnings:
            self._cleanup.log.warning(f"{self._queue_id}: {warning}")
        return filtering if refused is None else refused

    def _discard(self, envelope: Envelope, draft: Draft) -> Accepted:
        """Milters want it thrown away, or have taken all its recipients."""
        self.abort()
        if self._cleanup.journal is not None:
            record_discard(self._cleanup.journal, envelope, self._arrival, self._queue_id, draft.evidence)
        return Accepted(self._queue_id)

    async def _enqueue(
        self,
        envelope: Envelope,
        sender: str,
        expanded: Expanded,
        header: HeaderPass,
        content_filter: str,
        hold: bool,
        evidence: list[Evidence],
        body: Body | None,
    ) -> Accepted | Refused:
        try:
            if body is None:
                body = await self._content.body()
            content = Content(header.text, body)
            message = self._message(
                envelope,
                sender,
                expanded.recipients,
                size=content.size,
                state=State.HOLD if hold else State.INCOMING,
                message_id=header.message_id,
                content_filter=content_filter,
                hops=header.hops,
            )
            await self._cleanup.store.enqueue(NewMessage(message, content, self._replaces))
        except (QueueFull, QueueFault) as error:
            return self._content.not_written(error)
        self._content.given_away()
        if self._cleanup.journal is not None:
            record_steps(self._cleanup.journal, envelope, message, evidence)
        if self._cleanup.on_queued is not None:
            self._cleanup.on_queued(message, content)
        if expanded.expanded and self._cleanup.on_expanded is not None:
            told = [
                StoredRecipient(number, recipient, RecipientState.DONE, EXPANDED)
                for number, recipient in enumerate(expanded.expanded)
            ]
            await self._cleanup.on_expanded(message, content, told)
        return Accepted(self._queue_id)

    def _message(
        self,
        envelope: Envelope,
        sender: str,
        recipients: tuple[Recipient, ...],
        *,
        size: int = 0,
        state: State = State.INCOMING,
        message_id: str = "",
        content_filter: str = "",
        hops: int = 0,
    ) -> QueuedMessage:
        return QueuedMessage(
            queue_id=self._queue_id,
            arrival_time=self._arrival,
            envelope=Envelope(
                sender,
                recipients,
                envelope.client,
                envelope.local_rewrite,
                envelope.ret,
                envelope.envid,
                envelope.smtputf8,
                envelope.body,
                envelope.verp,
                envelope.trace,
            ),
            recipients=tuple([StoredRecipient(number, recipient) for number, recipient in enumerate(recipients)]),
            size=size,
            state=state,
            message_id=message_id,
            content_filter=content_filter,
            hops=hops,
        )

    async def _return(
        self, refused: Refused, give_back: GiveBack, message: QueuedMessage, header: HeaderPass
    ) -> Accepted | Refused:
        """RFC 5321 section 6.1: what was accepted and cannot be queued goes back; the notice is durable first."""
        text = refused.text.removeprefix("Error: ")
        dsn = Dsn(refused.status, text)
        content = Content(header.text, await self._content.body())
        bounced = tuple([replace(r, state=RecipientState.DONE, dsn=dsn) for r in message.recipients])
        delay = f"{max(0.0, self._cleanup.clock() - self._arrival):.2g}"
        for stored in bounced:
            to, original = stored.recipient.address, stored.recipient.original
            orig_to = f", orig_to=<{original}>" if original and original != to else ""
            self._cleanup.log.info(
                f"{self._queue_id}: to=<{quote_address(to)}>{orig_to}, relay=none, delay={delay}, "
                f"delays={delay}/0/0/0, dsn={refused.status}, status=bounced ({text})"
            )
        await give_back(replace(message, size=content.size, recipients=bounced), content, bounced)
        self.abort()
        return Accepted(self._queue_id)

    def _verdict(self, header: HeaderPass, decisions: list[Decision], *, whole: bool) -> Refused | None:
        limit = self._cleanup.settings.hopcount_limit
        for _ in range(limit, header.hops + 1 if whole else min(header.hops, limit) + 1):
            self._cleanup.log.warning(f"{self._queue_id}: message rejected: hopcount exceeded")
        if header.hops >= limit:
            return TOO_MANY_HOPS
        for decision in decisions:
            if decision.reject is not None:
                status, text = decision.reject
                shown = "".join(c if c.isprintable() else " " for c in text)
                return Refused(451 if status.startswith("4") else 550, status, shown, tuple(decision.evidence))
        return None

    async def _log_decisions(self, decisions: list[Decision], envelope: Envelope, sender: str) -> None:
        """One line per action; they name the last recipient, as it is after the canonical maps."""
        origin = ""
        for decision in decisions:
            for line, detail in decision.lines:
                text = line
                if detail is not None:
                    if not origin:
                        last = envelope.recipients[-1].address if envelope.recipients else ""
                        recipient = await self._cleanup.expansion.clean(last, [], []) if last else ""
                        origin = self._origin(envelope.client, sender, recipient)
                    of = origin.partition(" proto=")[0] if line.startswith("reject: mime-error ") else origin
                    text = f"{line} from {of}: {detail}" if detail else f"{line} from {of}"
                self._cleanup.log.info(f"{self._queue_id}: {text}")

    def _origin(self, client: Client, sender: str, recipient: str) -> str:
        origin = f"{client.name}[{client.address}]" if client.protocol else "local"
        text = f"{origin}; from=<{quote_address(sender)}> to=<{quote_address(recipient)}>"
        if client.protocol:
            text += f" proto={client.protocol}"
        return f"{text} helo=<{client.helo}>" if client.helo else text
