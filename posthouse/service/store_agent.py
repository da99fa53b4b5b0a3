"""The store transport wired: `store unix - - n - - store`, and which account an address has."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from posthouse.accounts.account import AccountRetry
from posthouse.accounts.accounts import Accounts
from posthouse.address.address import split_address
from posthouse.address.local_part import split_extension, unquote_address
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.mailbox.index.rows import QuotaLimits
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.store import MailboxFault
from posthouse.routing.address_class import AddressClass
from posthouse.routing.router import Router
from posthouse.tables.table import drive
from posthouse.tables.warning import warn
from posthouse.transport.store import StoreAgent

KNOWN_SECONDS = 1.0
"""How long it is believed which account an address has: a burst to one asks the account databases once."""
KNOWN_LIMIT = 4096
"""Addresses kept; a full cache is emptied."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where the native store is, and how addresses name accounts."""

    mail_store_directory: str
    recipient_delimiter: str
    virtual_mailbox_maps: str


def open_native_store(configuration: Configuration, accounts: Accounts) -> NativeMailStore:
    """The native store of this instance."""
    directory = Path(read_settings(StoreSettings, configuration).mail_store_directory)
    return NativeMailStore(directory, limits=quota_of(accounts), warn=warn)


def quota_of(accounts: Accounts) -> Callable[[str], QuotaLimits]:
    """What the quota_rule of an account's row allows; asked in threads of the store."""

    def limits(login: str) -> QuotaLimits:
        try:
            account = drive(accounts.find(login))
        except AccountRetry as retry:
            raise MailboxFault(str(retry)) from retry
        return QuotaLimits(storage=(account.quota_bytes or 0) if account is not None else 0)

    return limits


def account_finder(
    configuration: Configuration,
    router: Router,
    accounts: Accounts,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[str], Awaitable[str | None]]:
    """From an address to its account. A local address has its login's; any other has one of its own name, when the
    account databases or virtual_mailbox_maps list it."""
    settings = read_settings(StoreSettings, configuration)
    known: dict[str, tuple[float, str]] = {}

    async def account_of(address: str) -> str | None:
        entry = known.get(address)
        if entry is not None and entry[0] > clock():
            return entry[1]
        account = await ask(address)
        if account is not None:
            if len(known) >= KNOWN_LIMIT:
                known.clear()
            known[address] = (clock() + KNOWN_SECONDS, account)
        return account

    async def ask(address: str) -> str | None:
        local_part, domain = split_address(address)
        local_part = unquote_address(local_part)
        base, extension = split_extension(local_part, settings.recipient_delimiter)
        address_class, _ = await router.classify(address)
        names = [local_part, base] if extension else [local_part]
        if address_class is not AddressClass.LOCAL:
            names = [f"{name}@{domain}" for name in names]
        for name in names:
            account = await accounts.find(name)
            if account is not None:
                return account.login
        if address_class is AddressClass.VIRTUAL_MAILBOX and settings.virtual_mailbox_maps:
            return None if await router.unlisted(address) is not None else names[-1].lower()
        return None

    return account_of


def open_store_agent(
    configuration: Configuration, router: Router, accounts: Accounts, store: NativeMailStore
) -> StoreAgent:
    """The agent of one store service."""
    return StoreAgent(store, account_finder(configuration, router, accounts))
