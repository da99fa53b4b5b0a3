"""Whom local delivery knows in this instance: the account databases' logins with a uid, then the system's users."""

from posthouse.accounts.accounts import Accounts
from posthouse.accounts.open import open_accounts
from posthouse.config.configuration import Configuration
from posthouse.tables.table import drive
from posthouse.transport.local.people import People, Person, SystemPeople


class AccountPeople:
    """People over the account databases. Blocks."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._system = SystemPeople()

    def find(self, login: str) -> Person | None:
        """The login, or None. Raises OSError when the databases cannot be asked."""
        account = drive(self._accounts.find(login))
        if account is not None and account.is_system:
            assert account.uid is not None
            gid = account.gid if account.gid is not None else account.uid
            known = self._system.find(account.login)
            return Person(account.login, account.uid, gid, account.home, "" if known is None else known.shell)
        return self._system.find(login)


def open_people(configuration: Configuration) -> People:
    """From account_databases."""
    return AccountPeople(open_accounts(configuration))
