"""Passwords for smtpd, imapd and pop3d: the account databases, with PAM by way of the keeper."""

from posthouse.accounts.account import AccountRetry
from posthouse.accounts.accounts import Accounts
from posthouse.accounts.open import open_accounts as open_databases
from posthouse.config.configuration import Configuration
from posthouse.service.keeper_client import KeeperPam
from posthouse.session.smtp.seams import AuthenticationRetry


def open_accounts(configuration: Configuration, keeper_path: str) -> Accounts:
    """account_databases; without a keeper PAM knows nobody."""
    return open_databases(configuration, pam=KeeperPam(keeper_path) if keeper_path else None)


class AccountAuthenticator:
    """SASL logins of SMTP clients."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def authenticate(self, login: str, password: str) -> str | None:
        """The account's login, or None. Raises AuthenticationRetry."""
        try:
            account = await self._accounts.authenticate(login, password)
        except AccountRetry as retry:
            raise AuthenticationRetry(str(retry)) from retry
        return None if account is None else account.login
