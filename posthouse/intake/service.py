"""What the transactions of one service share: settings, maps and checks, opened once, and where messages go."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from posthouse.address.address import fold
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.content import Content
from posthouse.envelope.verdict import Evidence
from posthouse.host.log import ProcessLog
from posthouse.intake.address_mapping import AddressMapping
from posthouse.intake.body_checks import BodyChecks
from posthouse.intake.characters import Characters
from posthouse.intake.content_checks import ContentChecks
from posthouse.intake.expansion import Expansion
from posthouse.intake.header_rewrite import HeaderRewrite
from posthouse.intake.settings import CleanupSettings
from posthouse.intake.stamp import DateStamp
from posthouse.intake.strict_mime import StrictMime
from posthouse.journal.journal import Journal
from posthouse.policy.milter.milters import Milters
from posthouse.queue.store import ContentWriter, NewMessage, QueuedMessage, StoredRecipient
from posthouse.routing.router import Router
from posthouse.tables.maps import Maps, open_maps


class MessageStore(Protocol):
    """The part of a QueueStore that takes new messages."""

    def new_queue_id(self) -> str:
        """An id that was never given before."""

    def new_content(self, queue_id: str) -> ContentWriter:
        """Begin a body."""

    async def enqueue(self, new: NewMessage) -> None:
        """Durable on return. Raises QueueFull, QueueFault."""


class OnQueued(Protocol):
    """Told of each message after its commit, so that it can be delivered from memory."""

    def __call__(self, message: QueuedMessage, content: Content) -> None:
        """Take it."""


class GiveBack(Protocol):
    """Tells a sender what became of recipients, durably (bounce's BounceNotices.failed and .succeeded fit)."""

    def __call__(
        self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]
    ) -> Awaitable[None]:
        """The recipients carry the reason."""


class Cleanup:
    """What every transaction of one service shares."""

    def __init__(
        self,
        configuration: Configuration,
        router: Router,
        store: MessageStore,
        log: ProcessLog,
        journal: Journal | None,
        on_queued: OnQueued | None,
        *,
        internal: str = "",
        clock: Callable[[], float] = time.time,
        on_expanded: GiveBack | None = None,
        milters: Milters | None = None,
    ) -> None:
        settings = read_settings(CleanupSettings, configuration)
        self.settings = settings
        self.router = router
        self.store = store
        self.log = log
        self.journal = journal
        self.on_queued = on_queued
        self.on_expanded = on_expanded
        self.clock = clock
        self.date = DateStamp()
        self.characters = Characters.open(configuration)
        overrides = settings.receive_override_options
        mapped = "no_address_mappings" not in overrides
        checked = "no_header_body_checks" not in overrides
        if internal:
            checked = internal in settings.internal_mail_filter_classes
        self.filtered = not internal
        """Whether content_filter is for this service's mail: never for notices and forwards made here."""
        self.mapping = AddressMapping(settings, router, enabled=mapped)
        self.header_rewrite = HeaderRewrite(router.rewriter, self.mapping, settings.header_address_token_limit)

        def maps(parameter: str, value: str) -> Maps | None:
            return open_maps(value, configuration, parameter) if value else None

        self.expansion = Expansion(
            settings,
            router,
            self.mapping,
            maps("sender_bcc_maps", settings.sender_bcc_maps),
            maps("recipient_bcc_maps", settings.recipient_bcc_maps),
            enabled=mapped,
            copies=mapped and not internal,
        )
        checks: dict[str, ContentChecks] = {}
        values = {
            "header_checks": settings.header_checks,
            "mime_header_checks": settings.mime_header_checks,
            "nested_header_checks": settings.nested_header_checks,
            "body_checks": settings.body_checks,
        }
        for parameter, value in values.items() if checked else ():
            if value:
                origin = configuration.origin(parameter)
                checks[parameter] = ContentChecks(parameter, origin, open_maps(value, configuration, parameter), log)
        self.header_checks = checks.get("header_checks")
        self.body_checks = BodyChecks.open(configuration, checks, None if internal else StrictMime.open(configuration))
        self.mime_checks = self.body_checks.mime
        self.milters = milters if not internal or internal in settings.internal_mail_filter_classes else None
        """Those that mail meets which did not come by SMTP."""
        self.milter_checks: ContentChecks | None = None
        """What header fields pass that milters add."""
        if settings.milter_header_checks:
            parameter = "milter_header_checks"
            table = open_maps(settings.milter_header_checks, configuration, parameter)
            self.milter_checks = ContentChecks(parameter, configuration.origin(parameter), table, log)
        self._nobody = fold(router.rewrite("MAILER-DAEMON"))
        self.drop = frozenset(name.lower().encode() for name in settings.message_drop_headers)

    async def clean_sender(self, sender: str, evidence: list[Evidence], warnings: list[str]) -> str:
        """A sender in standard form, through the canonical maps. Raises TableRetry."""
        if not sender:
            return ""
        sender = self.router.rewrite(sender)
        if fold(sender) == self._nobody:  # from programs that know no null path, as cleanup(8) has it
            return ""
        if self.mapping.for_class("envelope_sender"):
            return await self.mapping.apply("envelope_sender", sender, evidence, warnings)
        return sender
