"""Where a login's mail is: what local delivery does with mail for it decides.

A user whose mail goes through a local transport of its own (transport_maps to
`maildir unix … local -o home_mailbox=Maildir/`) is read where that transport delivers; one whose
mailbox_transport is the store, and every whole address, is in the native store.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.mailbox.index.rows import QuotaLimits
from posthouse.mailbox.open import ChoosingStore, MailboxSettings, SystemUser, open_mail_store
from posthouse.mailbox.store import AccountStore, MailboxFault, Refusal, Refused
from posthouse.routing.router import Router
from posthouse.service.services import service_configuration
from posthouse.tables.table import TableRetry
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
        self.default = read_settings(MailboxSettings, configuration)
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
        return self._local.get(resolution.transport, self.default)


class UserMail:
    """Opens accounts: those of the native store, and those of users whose rights this process has."""

    def __init__(
        self,
        places: MailPlaces,
        person_of: Callable[[str], Awaitable[Person | None]],
        limits: Callable[[str], QuotaLimits],
        *,
        own_native: bool,
    ) -> None:
        """`own_native`: what mailbox_spool_takeover = move carries in lies beneath the user's home, as he may not write
        the house's store."""
        self._places = places
        self._person_of = person_of
        self._own_native = own_native
        self._native = open_mail_store(places.default, limits=limits)
        self._users: dict[str, ChoosingStore] = {}

    async def is_native(self, login: str) -> bool:
        """Whether this login's mail is in the native store."""
        try:
            return await self._person_of(login) is None or await self._places.settings_of(login) is None
        except TableRetry as retry:
            raise OSError(f"table lookup problem: {retry}") from retry

    async def open(self, login: str) -> AccountStore | Refused:
        """Open an account for a session. Raises MailboxFault."""
        try:
            person = await self._person_of(login)
            settings = None if person is None else await self._places.settings_of(login)
        except (TableRetry, OSError) as error:
            raise MailboxFault(f"where the mail of {login} is cannot be told now: {error}") from error
        if person is None or settings is None:
            return await self._native.open(login)
        store = self._users.get(login)
        if store is None:
            if person.uid == 0:
                return Refused(Refusal.CANNOT, "root's mail is not served")
            store = self._users[login] = user_store(settings, person, own_native=self._own_native)
        return await store.open(login)

    async def close(self) -> None:
        """Let go of every file."""
        for store in self._users.values():
            await store.close()
        await self._native.close()


def user_store(settings: MailboxSettings, person: Person, *, own_native: bool) -> ChoosingStore:
    """The store of one user's mail, for a process that has his rights."""
    if own_native:
        settings = replace(settings, mail_store_directory=f"{person.home}/.posthouse/accounts")
    user = SystemUser(person.login, person.home)
    return open_mail_store(settings, system_user=lambda account: user if account == person.login else None)
