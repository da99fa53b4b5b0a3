"""What all connections to one postscreen listener share."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from posthouse.host.log import ProcessLog, session_numbers
from posthouse.journal.journal import Journal
from posthouse.net.connection import TcpStream
from posthouse.net.stream import Address
from posthouse.session.postscreen.access_list import AccessList
from posthouse.session.postscreen.cache import Cleaning, PassCache
from posthouse.session.postscreen.dnsbl import DnsScores
from posthouse.session.postscreen.passes import EnabledTests
from posthouse.session.postscreen.queues import Queues
from posthouse.session.postscreen.settings import Actions, PatienceSettings, PostscreenSettings
from posthouse.session.smtp.seams import HostMatch, Lookup, nothing


class NextServer(Protocol):
    """The SMTP server that clients are handed over to (smtpd_service_name)."""

    async def admit(self) -> bool:
        """Wait for a free place. False: there is no such service, or it had no place in time."""

    async def serve(self, stream: TcpStream, peer: Address, local: Address) -> None:
        """Take a client over, to the end of its session; the place is free again then."""


@dataclass(slots=True)
class PostscreenService:
    """One listener's configuration and neighbours."""

    settings: PostscreenSettings
    patience: PatienceSettings
    patience_under_stress: PatienceSettings
    actions: Actions
    tests: EnabledTests
    access: AccessList
    interfaces: HostMatch
    """postscreen_allowlist_interfaces."""
    cache: PassCache
    cleaning: Cleaning
    queues: Queues
    next: NextServer
    log: ProcessLog
    journal: Journal
    scores: DnsScores | None = None
    """None without postscreen_dnsbl_sites."""
    tls_context: ssl.SSLContext | None = None
    footers: Lookup = nothing
    """postscreen_reject_footer_maps, by the whole reply."""
    reject_footer: str = ""
    footer_letters: frozenset[str] = frozenset()
    """postscreen_expansion_filter."""
    discard_ehlo: Lookup = nothing
    """postscreen_discard_ehlo_keyword_address_maps, by client address."""
    command_filter: Lookup = nothing
    """postscreen_command_filter, by the whole command line."""
    command_filter_name: str = ""
    forbidden: Lookup = nothing
    """postscreen_forbidden_commands, by the verb."""
    origin: Callable[[str], str] = lambda parameter: "default"
    """Where a parameter is set."""
    clock: Callable[[], float] = time.time
    numbers: Iterator[int] = field(default_factory=session_numbers)
    """Session numbers for the log."""

    @property
    def now_patience(self) -> PatienceSettings:
        """What holds at this moment."""
        return self.patience_under_stress if self.queues.stress else self.patience

    @property
    def starttls(self) -> bool:
        """Whether STARTTLS is offered."""
        return self.settings.tls_offered
