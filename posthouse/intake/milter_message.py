"""A message in the hands of milters: shown field by field, changed as they ask.

Header fields are counted as Sendmail and Postfix count them: changes by name start behind our own
Received field, insertions by position count it. A new body takes the old one's place as it comes, in
as little memory. Added header text passes milter_header_checks.

Standards: none; libmilter's smfi_addheader, smfi_insheader, smfi_chgheader, smfi_replacebody,
smfi_addrcpt(_par), smfi_delrcpt and smfi_chgfrom. RFC 3461 sections 4.1 to 4.4 for their arguments.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace

from posthouse.address.path import parse_path
from posthouse.envelope.content import Body
from posthouse.envelope.envelope import Envelope, Notify, Recipient
from posthouse.envelope.verdict import Evidence
from posthouse.intake.content_checks import KEEP, Decision
from posthouse.intake.expansion import Expanded
from posthouse.intake.service import Cleanup
from posthouse.message.header import canonical, scan_fields
from posthouse.policy.milter.connection import MilterConnection
from posthouse.policy.milter.decision import Decision as MilterDecision
from posthouse.policy.milter.decision import Kind
from posthouse.queue.store import ContentWriter, QueueFault, QueueFull
from posthouse.wire.milter.answer import (
    AddHeader,
    AddRecipient,
    ChangeFrom,
    ChangeHeader,
    DeleteRecipient,
    Edit,
    InsertHeader,
    Quarantine,
    ReplaceBody,
)
from posthouse.wire.smtp.command import BadNotify, RcptCommand, parse_rcpt

TOO_LARGE = "552 5.3.4 Error: message file too big"
NOT_WRITTEN = "451 4.3.0 queue file write error"
FACT_LIMIT = 200
"""Characters of one change that the journal keeps."""


@dataclass(slots=True)
class Draft:
    """What milters can change, as it stands."""

    queue_id: str
    envelope: Envelope
    sender: str
    expanded: Expanded
    header: list[bytes]
    """The fields, each with its CRLF."""
    own_received: int
    """The place of our own Received field, or -1."""
    body: Body
    evidence: list[Evidence] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    checks: Decision = field(default_factory=Decision)
    """What milter_header_checks want done."""

    @property
    def text(self) -> bytes:
        """The header."""
        return b"".join(self.header)


def split_header(header: bytes) -> list[bytes]:
    """The fields of a header, each with its CRLF."""
    return [header[found.start : found.end] for found in scan_fields(header)[0]]


class MilterMessage:
    """Implements policy.milter.chain.Editing over a Draft."""

    def __init__(self, cleanup: Cleanup, draft: Draft, new_body: Callable[[], ContentWriter]) -> None:
        """`new_body` gives up the body that is there and begins another."""
        self.draft = draft
        self._cleanup = cleanup
        self._new_body = new_body
        self._writer: ContentWriter | None = None
        self._carry = b""
        self._last = b"\r\n"
        self._size = 0

    def fields(self) -> Iterable[tuple[bytes, bytes]]:
        """What milters see of the header."""
        for number, raw in enumerate(self.draft.header):
            if number != self.draft.own_received:
                name, _, value = raw.partition(b":")
                yield name.rstrip(b" \t"), value.removesuffix(b"\r\n").replace(b"\r\n", b"\n")

    async def body(self) -> AsyncIterator[bytes]:
        """What milters see of the body."""
        async for piece in self.draft.body.chunks():
            yield piece

    async def apply(self, edit: Edit, milter: MilterConnection) -> MilterDecision | None:
        """Make one change."""
        draft = self.draft
        if not isinstance(edit, ReplaceBody) and self._writer is not None:
            refused = await self.done(milter)
            if refused is not None:
                return refused
        before = len(draft.evidence)
        match edit:
            case AddHeader(name, value):
                await self._insert(len(draft.header), name, value, milter)
            case InsertHeader(index, name, value):
                await self._insert(min(index, len(draft.header)), name, value, milter)
            case ChangeHeader(index, name, value):
                await self._change(max(index, 1), name, value, milter)
            case ReplaceBody(chunk):
                return await self._replace(chunk, milter)
            case AddRecipient(address, arguments):
                await self._add_recipient(_text(address), _text(arguments or b""))
            case DeleteRecipient(address):
                self._delete_recipient(_text(address))
            case ChangeFrom(address, arguments):
                await self._change_from(_text(address), _text(arguments or b""))
            case Quarantine():
                return None
        self._note(milter, describe(edit), before)
        return None

    def _note(self, milter: MilterConnection, fact: str, at: int) -> None:
        self.draft.evidence.insert(at, milter.evidence(fact[:FACT_LIMIT]))

    # -- header ---------------------------------------------------------------------------

    async def _insert(self, at: int, name: bytes, value: bytes, milter: MilterConnection) -> None:
        fields = await self._checked(name, value, milter)
        draft = self.draft
        draft.header[at:at] = fields
        if at <= draft.own_received:
            draft.own_received += len(fields)

    async def _change(self, index: int, name: bytes, value: bytes, milter: MilterConnection) -> None:
        """The nth of the fields of that name that the milter sees; one that is not there is added."""
        draft = self.draft
        wanted, left = name.lower(), index
        for number in range(draft.own_received + 1, len(draft.header)):
            if draft.header[number].partition(b":")[0].rstrip(b" \t").lower() != wanted:
                continue
            left -= 1
            if not left:
                fields = await self._checked(name, value, milter) if value else []
                draft.header[number : number + 1] = fields
                return
        if value:
            await self._insert(len(draft.header), name, value, milter)

    async def _checked(self, name: bytes, value: bytes, milter: MilterConnection) -> list[bytes]:
        """The field as lines for the queue; none when milter_header_checks drop it."""
        raw = field_bytes(name, value, leading_space=milter.leading_space)
        checks, decision = self._cleanup.milter_checks, self.draft.checks
        if checks is None or decision.done:
            return [raw]
        finding = await checks.check(
            raw.replace(b"\r\n", b"\n").rstrip(b"\n").decode("utf-8", "surrogateescape"), decision
        )
        if finding is KEEP:
            return [raw]
        fields = [
            text.encode("utf-8", "surrogateescape") + b"\r\n" for text in (finding.before, finding.instead) if text
        ]
        return [*fields, raw] if finding.keep else fields

    # -- body -----------------------------------------------------------------------------

    async def _replace(self, chunk: bytes, milter: MilterConnection) -> MilterDecision | None:
        draft = self.draft
        try:
            if self._writer is None:
                self._writer = self._new_body()
                self._carry, self._last, self._size = b"", b"\r\n", 0
                self._note(milter, "replace body", len(draft.evidence))
            chunk = self._carry + chunk
            self._carry = b"\r" if chunk.endswith(b"\r") else b""
            chunk = canonical(chunk.removesuffix(b"\r") if self._carry else chunk)
            if chunk:
                self._last = chunk[-2:] if len(chunk) > 1 else self._last[-1:] + chunk
                self._writer.write(chunk)
                await self._writer.room()
        except (QueueFull, QueueFault):
            return _refusal(NOT_WRITTEN, milter)
        limit = self._cleanup.settings.message_size_limit
        self._size += len(chunk)
        if limit and len(draft.text) + 2 + self._size > limit:
            return _refusal(TOO_LARGE, milter)
        return None

    async def done(self, connection: MilterConnection) -> MilterDecision | None:
        """A new body is complete; it is the message's from here on."""
        writer = self._writer
        if writer is None:
            return None
        try:
            if self._carry or self._last != b"\r\n":
                writer.write(b"\r\n")
            self.draft.body = await writer.finish()
        except (QueueFull, QueueFault):
            return _refusal(NOT_WRITTEN, connection)
        self._writer = None
        return None

    # -- envelope -------------------------------------------------------------------------

    async def _add_recipient(self, address: str, arguments: str) -> None:
        """smfi_addrcpt(_par): the address is looked up as any other recipient's."""
        draft = self.draft
        given = parse_path(address)
        if not given:
            draft.warnings.append(f"bad recipient address from Milter: {address!r}")
            return
        notify, orcpt = Notify.NONE, ""
        for argument in arguments.split():
            name = argument.partition("=")[0].upper()
            parsed = parse_rcpt(f"TO:<x> {argument}") if name in ("NOTIFY", "ORCPT") else None
            if isinstance(parsed, RcptCommand):
                notify, orcpt = notify or parsed.notify, orcpt or parsed.orcpt
            elif parsed is not None:
                if isinstance(parsed, BadNotify):
                    self._cleanup.log.warning(f'unknown DSN NOTIFY command value "{parsed.word}" in "{parsed.value}"')
                draft.warnings.append(f'Bad {name} parameter from Milter or header/body_checks: "{argument}"')
            else:
                draft.warnings.append(f'ignoring ESMTP argument from Milter or header/body_checks: "{argument}"')
        draft.expanded = await self._cleanup.expansion.also(
            draft.expanded, Recipient(given, "", notify, orcpt), draft.evidence, draft.warnings
        )

    def _delete_recipient(self, address: str) -> None:
        """smfi_delrcpt: everything that became of an address as the client gave it."""
        given = parse_path(address)
        keep = self._cleanup.settings.enable_original_recipient
        recipients = self.draft.expanded.recipients
        kept = tuple([r for r in recipients if ((r.original or r.address) if keep else r.address) != given])
        self.draft.expanded = replace(self.draft.expanded, recipients=kept)

    async def _change_from(self, address: str, arguments: str) -> None:
        """smfi_chgfrom."""
        draft = self.draft
        given = parse_path(address)
        if given is None:
            draft.warnings.append(f"bad sender address from Milter: {address!r}")
            return
        for argument in arguments.split():
            name, _, value = argument.partition("=")
            if name.upper() == "RET" and value.upper() in ("FULL", "HDRS"):
                draft.envelope = replace(draft.envelope, ret=value.upper())
            elif name.upper() == "ENVID" and value:
                draft.envelope = replace(draft.envelope, envid=value)
            else:
                self._cleanup.log.warning(f'Ignoring bad ESMTP parameter "{argument}" in SMFI_CHGFROM request')
        draft.sender = await self._cleanup.clean_sender(given, draft.evidence, draft.warnings)


def field_bytes(name: bytes, value: bytes, *, leading_space: bool) -> bytes:
    """A field as it is queued. Lines of a value that go on are marked by a blank, whether the milter did so or not."""
    raw = name + (b":" if leading_space else b": ") + value
    lines = canonical(raw).split(b"\r\n")
    folded = [
        line if number == 0 or line.startswith((b" ", b"\t")) else b"\t" + line for number, line in enumerate(lines)
    ]
    return b"\r\n".join(folded) + b"\r\n"


def describe(edit: Edit) -> str:
    """A change in words, for the journal."""
    match edit:
        case AddHeader(name, value):
            return f"add header {_text(name)}: {_text(value)}"
        case InsertHeader(index, name, value):
            return f"insert header {_text(name)}: {_text(value)} at {index}"
        case ChangeHeader(index, name, value):
            return (
                f"change header {_text(name)} {index}: {_text(value)}"
                if value
                else f"delete header {_text(name)} {index}"
            )
        case AddRecipient(address, _):
            return f"add recipient {_text(address)}"
        case DeleteRecipient(address):
            return f"delete recipient {_text(address)}"
        case ChangeFrom(address, _):
            return f"change sender to {_text(address)}"
        case Quarantine(why):
            return f"quarantine: {_text(why)}"
    return "replace body"


def _refusal(line: str, milter: MilterConnection) -> MilterDecision:
    return MilterDecision(Kind.REPLY, line, milter.evidence(line))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
