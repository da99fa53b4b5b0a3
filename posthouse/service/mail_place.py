"""Where a login's mail is: what local delivery does with mail for it decides.

A user whose mail goes through a local transport of its own (transport_maps to
`maildir unix … local -o home_mailbox=Maildir/`) is read where that transport delivers; one whose
mailbox_transport is the store, and every whole address, is in the native store.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.mailbox.index.rows import QuotaLimits
from posthouse.mailbox.open import ChoosingStore, MailboxSettings, SystemUser, open_mail_store
from posthouse.routing.router import Router
from posthouse.service.services import service_configuration
from posthouse.transport.local.people import Person


@dataclass(frozen=True, slots=True)
class PlaceSettings:
    """What else decides where a user's mail is."""

    myorigin: str
    mailbox_transport: str


class MailPlaces:
    """The places of all logins."""

    def __init__(self, configuration: Configuration, services: Sequence[Service], router: Router) -> None:
        """Call while the process may still read tables. Raises ConfigError."""
        self._router = router
        self._default = read_settings(MailboxSettings, configuration)
        self._origin = read_settings(PlaceSettings, configuration).myorigin
        self._local: dict[str, MailboxSettings | None] = {}
        """By service name; None: the native store."""
        for service in services:
            if service.type != "unix" or service.command not in ("local", "store"):
                continue
            own = service_configuration(configuration, service)
            stored = service.command == "store" or self._is_store(own, services)
            self._local[service.name] = None if stored else read_settings(MailboxSettings, own)

    @staticmethod
    def _is_store(own: Configuration, services: Sequence[Service]) -> bool:
        name = read_settings(PlaceSettings, own).mailbox_transport.partition(":")[0]
        return any(service.name == name and service.command == "store" for service in services)

    async def settings_of(self, login: str) -> MailboxSettings | None:
        """How this user's mail is kept; None: in the native store. Raises TableRetry."""
        if "@" in login:
            return None
        resolution = await self._router.resolve("", f"{login}@{self._origin}")
        return self._local.get(resolution.transport, self._default)

    def native(self, limits: Callable[[str], QuotaLimits]) -> ChoosingStore:
        """The store of all accounts that are no users here."""
        return open_mail_store(self._default, limits=limits)


def user_store(settings: MailboxSettings, person: Person, *, own_native: bool) -> ChoosingStore:
    """The store of one user's mail, for a process that has his rights.

    `own_native`: what mailbox_spool_takeover = move carries in lies beneath his home, as he may not write our store.
    """
    if own_native:
        settings = replace(settings, mail_store_directory=f"{person.home}/.posthouse/accounts")
    user = SystemUser(person.login, person.home)
    return open_mail_store(settings, system_user=lambda account: user if account == person.login else None)
