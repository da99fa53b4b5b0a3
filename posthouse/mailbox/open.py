"""Which store holds an account's mail, from the configuration.

An account that is no user of this machine lies in the native store. A user's mail lies where
local delivery puts it: home_mailbox beneath the home ("Maildir/" with a slash at the end is a
Maildir, else an mbox), or mail_spool_directory (with a slash at the end: a Maildir per user).
mailbox_spool_takeover = copy serves it in place; = move carries an mbox into the native store
when the account is opened.

Standards: home_mailbox, mail_spool_directory, mailbox_delivery_lock, mailbox_size_limit,
deliver_lock_attempts, deliver_lock_delay, stale_lock_time (postconf(5)).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posthouse.config.error import ConfigError
from posthouse.envelope.content import Content
from posthouse.mailbox.index.disk_store import DiskMailStore
from posthouse.mailbox.index.rows import QuotaLimits
from posthouse.mailbox.maildir.store import maildir_store
from posthouse.mailbox.mbox.locks import LockRules
from posthouse.mailbox.mbox.store import mbox_store
from posthouse.mailbox.native.store import NativeMailStore, no_limits
from posthouse.mailbox.store import AccountStore, Delivered, MailStore, Refused
from posthouse.mailbox.takeover import TakingStore
from posthouse.tables.warning import warn

# Where the index of a user's mbox lies, beneath the home.
INDEX_FOLDER = ".posthouse"


@dataclass(frozen=True, slots=True)
class MailboxSettings:
    """The parameters that say where mail is kept."""

    mail_store_directory: str
    mailbox_spool_takeover: str
    mail_spool_directory: str
    home_mailbox: str
    mailbox_delivery_lock: tuple[str, ...]
    mailbox_size_limit: int
    deliver_lock_attempts: int
    deliver_lock_delay: int
    stale_lock_time: int

    def __post_init__(self) -> None:
        if self.mailbox_spool_takeover not in ("copy", "move"):
            raise ConfigError(f'bad mailbox_spool_takeover value "{self.mailbox_spool_takeover}": copy or move')

    @property
    def lock_rules(self) -> LockRules:
        """For mbox files."""
        return LockRules(
            self.mailbox_delivery_lock,
            self.deliver_lock_attempts,
            float(self.deliver_lock_delay),
            float(self.stale_lock_time),
        )


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A user of this machine who has mail."""

    name: str
    home: str


class ChoosingStore:
    """MailStore: each call goes to the store of its account."""

    def __init__(
        self,
        settings: MailboxSettings,
        system_user: Callable[[str], SystemUser | None],
        limits: Callable[[str], QuotaLimits],
    ) -> None:
        self._settings = settings
        self._system_user = system_user
        self._limits = limits
        self._native: NativeMailStore | None = None
        self._taking: dict[str, TakingStore] = {}
        self._on_disk: dict[str, DiskMailStore] = {}

    @property
    def native(self) -> NativeMailStore:
        """The store of all accounts that are no users here."""
        if self._native is None:
            self._native = NativeMailStore(Path(self._settings.mail_store_directory), limits=self._limits, warn=warn)
        return self._native

    def store_of(self, account: str) -> MailStore:
        """The store that holds an account."""
        user = self._system_user(account)
        if user is None:
            return self.native
        place, is_maildir = self.place_of(user)
        if is_maildir:
            return self._maildirs(account, place)
        if self._settings.mailbox_spool_takeover == "move":
            return self._taking.setdefault(account, TakingStore(self.native, place, self._settings.lock_rules))
        return self._spools(account, place, Path(user.home) / INDEX_FOLDER)

    def place_of(self, user: SystemUser) -> tuple[Path, bool]:
        """Where local delivery puts a user's mail, and whether that is a Maildir."""
        home_mailbox, spool = self._settings.home_mailbox, self._settings.mail_spool_directory
        if home_mailbox:
            return Path(user.home) / home_mailbox, home_mailbox.endswith("/")
        return Path(spool) / user.name, spool.endswith("/")

    def _maildirs(self, account: str, root: Path) -> DiskMailStore:
        if account not in self._on_disk:
            self._on_disk[account] = maildir_store(lambda _account: root, limits=self._limits, threads=2)
        return self._on_disk[account]

    def _spools(self, account: str, spool: Path, index: Path) -> DiskMailStore:
        if account not in self._on_disk:
            self._on_disk[account] = mbox_store(
                lambda _account: (spool, index),
                rules=self._settings.lock_rules,
                size_limit=self._settings.mailbox_size_limit,
                limits=self._limits,
                threads=2,
            )
        return self._on_disk[account]

    async def open(self, account: str) -> AccountStore | Refused:
        """Open for a session."""
        return await self.store_of(account).open(account)

    async def deliver(
        self,
        account: str,
        content: Content,
        *,
        mailbox: str = "INBOX",
        flags: frozenset[str] = frozenset(),
        create: bool = False,
        sender: str = "",
        internal_date: float | None = None,
    ) -> Delivered | Refused:
        """Final delivery."""
        return await self.store_of(account).deliver(
            account,
            content,
            mailbox=mailbox,
            flags=flags,
            create=create,
            sender=sender,
            internal_date=internal_date,
        )

    async def close(self) -> None:
        """Close every store."""
        for store in self._on_disk.values():
            await store.close()
        if self._native is not None:
            await self._native.close()


def open_mail_store(
    settings: MailboxSettings,
    *,
    system_user: Callable[[str], SystemUser | None] = lambda _account: None,
    limits: Callable[[str], QuotaLimits] = no_limits,
) -> ChoosingStore:
    """All mail of this machine.

    system_user: who on this machine an account is, or None for those of the native store; it must not block.
    limits: an account's quota, asked in a thread when its file is opened.
    """
    return ChoosingStore(settings, system_user, limits)
