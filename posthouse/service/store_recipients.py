"""Who exists in a domain whose transport is the store: the account databases say so, too.

Without this, virtual_transport = store with an empty virtual_mailbox_maps would take mail for anybody
and bounce it later, to senders that are often forged; and a table would have to repeat every account.
"""

from collections.abc import Sequence

from posthouse.accounts.account import AccountRetry
from posthouse.accounts.accounts import Accounts
from posthouse.address.address import split_address
from posthouse.address.local_part import split_extension
from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.envelope.verdict import Evidence
from posthouse.routing.address_class import AddressClass
from posthouse.routing.recipients import Unlisted
from posthouse.routing.resolve import Resolution
from posthouse.routing.router import Router
from posthouse.service.store_agent import StoreSettings
from posthouse.tables.table import TableRetry


class StoreRecipients:
    """routing's Router, with the accounts of the store among those who exist."""

    def __init__(
        self, configuration: Configuration, services: Sequence[Service], router: Router, accounts: Accounts
    ) -> None:
        settings = read_settings(StoreSettings, configuration)
        self._delimiter = settings.recipient_delimiter
        self._mapped = bool(settings.virtual_mailbox_maps)
        self._origin = configuration.origin("account_databases")
        self._stores = {service.name for service in services if service.command == "store"}
        self._router = router
        self._accounts = accounts

    async def resolve(self, sender: str, address: str) -> Resolution:
        """Where mail goes. Raises TableRetry."""
        return await self._router.resolve(sender, address)

    async def unlisted(self, address: str) -> Unlisted | None:
        """Why a recipient does not exist, or None. Raises TableRetry."""
        refused = await self._router.unlisted(address)
        if not self._stores:
            return refused
        resolution = await self._router.resolve("", address)
        if resolution.transport not in self._stores or resolution.address_class is not AddressClass.VIRTUAL_MAILBOX:
            return refused
        if refused is None and self._mapped:
            return None
        local_part, domain = split_address(resolution.recipient)
        base, _ = split_extension(local_part, self._delimiter)
        try:
            for name in dict.fromkeys((local_part, base)):
                if await self._accounts.find(f"{name}@{domain}") is not None:
                    return None
        except AccountRetry as retry:
            raise TableRetry(f"account_databases: {retry}") from retry
        if refused is not None or await self._router.aliased(address):
            return refused
        fact = f"{resolution.recipient}: no account"
        evidence = (Evidence("account_databases", self._origin, "", fact),)
        return Unlisted(550, "5.1.1", "User unknown in virtual mailbox table", evidence)
