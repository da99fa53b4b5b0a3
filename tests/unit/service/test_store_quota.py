"""The quota of an account's row, as the stores of both kinds of workers ask for it."""

from pathlib import Path

import pytest

from posthouse.accounts.account import Account, AccountRetry
from posthouse.accounts.accounts import Accounts, PasswdFileDatabase
from posthouse.mailbox.index.rows import QuotaLimits
from posthouse.mailbox.store import MailboxFault
from posthouse.service.store_agent import quota_of


def test_a_row_says_how_much_its_account_may_hold(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_text(
        "a@x:{PLAIN}word::::::userdb_quota_rule=*:storage=100K\nb@x:{PLAIN}word\nc@x:{PLAIN}word::::::quota_rule=bad\n"
    )
    limits = quota_of(Accounts([PasswdFileDatabase(str(path))]))
    assert [limits(name) for name in ("a@x", "b@x", "c@x", "nobody@x")] == [
        QuotaLimits(storage=102400),
        QuotaLimits(),
        QuotaLimits(),
        QuotaLimits(),
    ]


def test_a_database_that_cannot_say_is_a_fault_of_the_mailbox() -> None:
    class Down(PasswdFileDatabase):
        def find(self, login: str) -> Account | None:
            raise AccountRetry("it is down")

    with pytest.raises(MailboxFault, match="it is down"):
        quota_of(Accounts([Down("none")]))("a@x")
