"""Who logs clients in: the account databases, with PAM by way of the keeper, or for smtpd a Dovecot server."""

from posthouse.accounts.account import AccountRetry
from posthouse.accounts.accounts import Accounts
from posthouse.accounts.dovecot import DovecotExchange, DovecotServer
from posthouse.accounts.open import open_accounts as open_databases
from posthouse.config.configuration import Configuration
from posthouse.service.keeper_client import KeeperPam
from posthouse.session.smtp.seams import (
    AuthenticationRefused,
    AuthenticationRetry,
    Challenge,
    LoggedIn,
    Mechanism,
    SaslStep,
)
from posthouse.wire.dovecot_auth import Challenged, Denied, Granted


def open_accounts(configuration: Configuration, keeper_path: str) -> Accounts:
    """account_databases; without a keeper PAM knows nobody."""
    return open_databases(configuration, pam=KeeperPam(keeper_path) if keeper_path else None)


class AccountAuthenticator:
    """SASL logins of SMTP clients. A login without domain that nobody has is completed with smtpd_sasl_local_domain."""

    def __init__(self, accounts: Accounts, local_domain: str = "") -> None:
        self._accounts = accounts
        self._local_domain = local_domain

    async def authenticate(self, login: str, password: str) -> str | None:
        """The account's login, or None. Raises AuthenticationRetry."""
        try:
            if self._local_domain and "@" not in login and await self._accounts.find(login) is None:
                login = f"{login}@{self._local_domain}"
            account = await self._accounts.authenticate(login, password)
        except AccountRetry as retry:
            raise AuthenticationRetry(str(retry)) from retry
        return None if account is None else account.login


class DovecotMechanisms:
    """smtpd_sasl_type = dovecot: the mechanisms are the server's."""

    def __init__(self, server: DovecotServer, service: str) -> None:
        self._server = server
        self._service = service
        self._told: object = None
        self._mechanisms: tuple[Mechanism, ...] = ()

    async def mechanisms(self) -> tuple[Mechanism, ...]:
        """What it runs or last ran; () while that is not known."""
        told = await self._server.mechanisms()
        if told is not self._told:
            self._told = told
            self._mechanisms = tuple(Mechanism(m.name, m.flags) for m in told if "private" not in m.flags)
        return self._mechanisms

    def exchange(
        self, mechanism: str, *, server: tuple[str, int], client: tuple[str, str], tls: bool
    ) -> "DovecotSaslExchange":
        """A client begins."""
        parameters: list[tuple[str, str | None]] = [("service", self._service), ("nologin", None)]
        ends = (("lip", server[0]), ("rip", client[0]))
        parameters += [(name, value) for name, value in ends if value]
        if tls:
            parameters.append(("secured", None))
        return DovecotSaslExchange(self._server.exchange(mechanism, tuple(parameters)))


class DovecotSaslExchange:
    """One client's exchange, in smtpd's terms."""

    def __init__(self, exchange: DovecotExchange) -> None:
        self._exchange = exchange

    async def begin(self, initial: str | None) -> SaslStep:
        """The first step. Raises AuthenticationRetry."""
        try:
            return _step(await self._exchange.begin(initial))
        except AccountRetry as retry:
            raise AuthenticationRetry(str(retry)) from retry

    async def go_on(self, response: str) -> SaslStep:
        """A further step. Raises AuthenticationRetry."""
        try:
            return _step(await self._exchange.go_on(response))
        except AccountRetry as retry:
            raise AuthenticationRetry(str(retry)) from retry

    def cancel(self) -> None:
        """The client gave up."""
        self._exchange.cancel()


def _step(answer: Challenged | Granted | Denied) -> SaslStep:
    if isinstance(answer, Challenged):
        return Challenge(answer.challenge)
    login = _printable(answer.login)
    if isinstance(answer, Granted):
        return LoggedIn(login)
    reason = _printable(answer.reason)
    if answer.temporary:
        # RFC 4954 section 4: 454. Postfix 3.7 says 535, and clients then ask for another password.
        raise AuthenticationRetry(reason, login)
    return AuthenticationRefused(reason, login)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
