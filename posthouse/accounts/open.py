"""account_databases to Accounts.

account_databases = passwd-file:/etc/postfix/accounts, pam
"""

from dataclasses import dataclass

from posthouse.accounts.accounts import Accounts, Database, PamDatabase, PasswdFileDatabase
from posthouse.accounts.pam import PamCheck
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.tables.words import split_words

PASSWD_FILE = "passwd-file:"


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """Where accounts are."""

    account_databases: str


def open_accounts(configuration: Configuration, pam: PamCheck | None = None) -> Accounts:
    """The account databases. `pam` None: system users are known, but no password of theirs fits. Raises ConfigError."""
    databases: list[Database] = []
    for word in _words(configuration):
        if word.startswith(PASSWD_FILE) and len(word) > len(PASSWD_FILE):
            databases.append(PasswdFileDatabase(word.removeprefix(PASSWD_FILE)))
        elif word == "pam":
            databases.append(PamDatabase(pam))
        else:
            raise ConfigError(f'bad account_databases entry: "{word}"; need passwd-file:path or pam')
    return Accounts(databases)


def first_passwd_file(configuration: Configuration) -> str | None:
    """The file that `posthouse user` edits; None when none is listed."""
    for word in _words(configuration):
        if word.startswith(PASSWD_FILE):
            return word.removeprefix(PASSWD_FILE)
    return None


def _words(configuration: Configuration) -> list[str]:
    return split_words(read_settings(AccountSettings, configuration).account_databases)
