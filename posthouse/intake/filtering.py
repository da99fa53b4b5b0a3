"""What intake does with milters: it shows them the message, has it changed, and obeys.

A message of an SMTP session meets the milters that the session has been talking to. One that was made
on this machine meets non_smtpd_milters: a connection from localhost, EHLO, MAIL, RCPT and DATA are acted
out for them, after the addresses were rewritten and before the content is shown. They cannot refuse
single recipients of such a message; one that they refuse for good goes back to its sender.

Standards: Postfix's MILTER_README (non-SMTP mail); RFC 5321 section 6.1.
"""

from collections.abc import Callable
from dataclasses import replace

from posthouse.address.local_part import quote_address
from posthouse.envelope.envelope import Recipient
from posthouse.intake.expansion import Expanded
from posthouse.intake.milter_message import Draft, MilterMessage
from posthouse.intake.service import Cleanup
from posthouse.intake.transaction import Refused
from posthouse.policy.milter.chain import Chain
from posthouse.policy.milter.decision import Decision, Kind
from posthouse.policy.milter.macros import Value
from posthouse.policy.milter.milters import Milters
from posthouse.queue.store import ContentWriter
from posthouse.wire.milter.command import Peer

NOT_FOR_RECIPIENTS = Refused(451, "4.3.5", "Server configuration error")
TEXTS = {Kind.HOLD: "milter triggers HOLD action", Kind.DISCARD: "milter triggers DISCARD action"}
KEPT_MACROS = frozenset({"j", "_", "v", "i"}) | frozenset(
    {"{daemon_name}", "{daemon_addr}", "{daemon_port}", "{client_addr}", "{client_name}", "{client_port}"}
    | {"{client_ptr}", "{auth_type}", "{auth_authen}", "{auth_author}"}
)
"""Macros that intake still knows of an SMTP session: Postfix's cleanup has no others at the content's stages."""
NOBODY = Expanded((), ())
TEXT_SHOWN = 60
"""Characters of a checked field in the log."""


class Filtering:
    """One message's way through the milters."""

    def __init__(
        self, cleanup: Cleanup, draft: Draft, new_body: Callable[[], ContentWriter], *, hold: bool = False
    ) -> None:
        """`hold`: whether it is to be held already, so that nobody needs to say so again."""
        self.draft = draft
        self.message = MilterMessage(cleanup, draft, new_body)
        self.hold = hold
        self.discard = False
        self._cleanup = cleanup
        self._recipient = ""

    async def of_session(self, chain: Chain) -> Refused | None:
        """A message that came by SMTP: why it is refused, or None.
        Raises TableRetry, ExpansionRefused."""
        given = self.draft.envelope.recipients
        if given:
            self._recipient = await self._clean(given[-1].address)

        async def value(name: str) -> str | None:
            return await chain.value(name) if name in KEPT_MACROS else None

        return await self._content(chain, value)

    async def of_local(self, milters: Milters) -> Refused | None:
        """The same for a message that was made on this machine."""
        chain = milters.begin(self._local_macro(milters), self._cleanup.log.warning)
        try:
            refused = await self._act_out(chain)
            if refused is None and not self.discard:
                refused = await self._content(chain, chain.value)
            return refused
        finally:
            chain.quit()

    async def _act_out(self, chain: Chain) -> Refused | None:
        """An SMTP session that never was. What was decided about it is asked for at each step again."""
        client = self.draft.envelope.client
        refused = self._obey(
            await chain.connect(Peer(client.name.encode(), b"4", 0, client.address.encode())), "CONNECT"
        )
        if refused is None and not self.discard:
            refused = self._obey(await chain.helo(client.helo or client.name), "EHLO")
        if refused is None and not self.discard:
            refused = self._obey(await chain.mail((_external(self.draft.sender),)), "MAIL")
        for recipient in self.draft.envelope.recipients:
            if refused is not None or self.discard:
                return refused
            self._recipient = await self._clean(recipient.address)
            refused = self._obey(await chain.rcpt((_external(self._recipient),)), "RCPT")
            if refused is not None:
                warn, queue_id = self._cleanup.log.warning, self.draft.queue_id
                warn(f"{queue_id}: milter configuration error: can't reject recipient in non-smtpd(8) submission")
                warn(f"{queue_id}: message not accepted, try again later")
                return replace(NOT_FOR_RECIPIENTS, evidence=refused.evidence)
        return self._obey(await chain.data(), "DATA")

    async def _content(self, chain: Chain, value: Value) -> Refused | None:
        decision = await chain.message(self.message, value, self._cleanup.log.warning)
        return self._obey(decision, "END-OF-MESSAGE")

    async def checked(self) -> Refused | None:
        """What milter_header_checks want done. Raises TableRetry, ExpansionRefused."""
        draft, checks, expansion = self.draft, self.draft.checks, self._cleanup.expansion
        for line, detail in checks.lines:
            action, _, text = line.partition(": header ")
            tail = f": {detail}" if detail else ""
            self._cleanup.log.info(
                f"{draft.queue_id}: milter-header-{action}: header {text[:TEXT_SHOWN]} from {self._origin()}{tail}"
            )
        self.hold = self.hold or checks.hold
        self.discard = self.discard or checks.discard
        if checks.reject is not None:
            status, text = checks.reject
            return Refused(451 if status.startswith("4") else 550, status, text, tuple(checks.evidence))
        if checks.redirect:
            draft.expanded = NOBODY
        for address in (checks.redirect,) if checks.redirect else checks.bcc:
            draft.expanded = await expansion.also(draft.expanded, Recipient(address), draft.evidence, draft.warnings)
        return None

    async def _clean(self, address: str) -> str:
        return await self._cleanup.expansion.clean(address, [], [])

    def _obey(self, decision: Decision | None, stage: str) -> Refused | None:
        """Keep a decision, and log it in cleanup's words; the refusal when it is one."""
        if decision is None or (decision.kind is Kind.HOLD and self.hold):
            return None
        refused = None
        if decision.kind is Kind.HOLD:
            self.hold = True
        elif decision.kind is Kind.DISCARD:
            self.discard = True
        else:
            code, status, text = decision.parts
            refused = Refused(code, status, text, (decision.evidence,))
        self.draft.evidence.append(decision.evidence)
        action = "milter-reject" if refused is not None else decision.kind.value
        text = TEXTS.get(decision.kind) or decision.line[4:]
        self._cleanup.log.info(f"{self.draft.queue_id}: {action}: {stage} from {self._origin(f': {text}')}")
        return refused

    def _origin(self, text: str = "") -> str:
        """Who a message is from and for, as log lines have it."""
        client = self.draft.envelope.client
        line = f"{client.name}[{client.address}]{text}; from=<{_external(self.draft.sender)}>"
        if self._recipient:
            line += f" to=<{_external(self._recipient)}>"
        if client.protocol:
            line += f" proto={client.protocol}"
        return f"{line} helo=<{client.helo}>" if client.helo else line

    def _local_macro(self, milters: Milters) -> Value:
        """The macros of mail that did not come by SMTP."""
        draft, settings, client = self.draft, milters.settings, self.draft.envelope.client

        async def value(name: str) -> str | None:
            match name:
                case "j":
                    return self._cleanup.settings.myhostname
                case "v":
                    return settings.milter_macro_v
                case "i":
                    return draft.queue_id
                case "_":
                    return f"{client.reverse_name} [{client.address}]"
                case "{daemon_name}":
                    return settings.milter_macro_daemon_name
                case "{daemon_addr}" | "{client_addr}":
                    return client.address
                case "{client_name}":
                    return client.name
                case "{client_ptr}":
                    return client.reverse_name
                case "{client_port}":
                    return client.port or "0"
                case "{mail_addr}":
                    return _external(draft.sender)
                case "{rcpt_addr}":
                    return _external(self._recipient) if self._recipient else None
            return None

        return value


def _external(address: str) -> str:
    return quote_address(address) if address else ""
