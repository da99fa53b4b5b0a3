"""Whoever has an account in the store exists; others in a domain of the store do not."""

from pathlib import Path

import pytest

from posthouse.accounts.open import open_accounts
from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import parse_master_cf
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.routing.router import Router
from posthouse.service.store_recipients import StoreRecipients

SERVICES = parse_master_cf("store unix - - n - - store\nlocal unix - n n - - local\n", "master.cf").services


def recipients(folder: Path, **more: str) -> StoreRecipients:
    (folder / "accounts").write_text("joe@virt.test:{PLAIN}x::::\n")
    values = {
        "myhostname": "mail.tony.test",
        "mydestination": "tony.test",
        "virtual_mailbox_domains": "virt.test",
        "virtual_transport": "store",
        "account_databases": f"passwd-file:{folder}/accounts",
        "recipient_delimiter": "+",
        "inet_interfaces": "127.0.0.1",
        **more,
    }
    configuration = Configuration(str(folder), values)
    router = Router.open(configuration, ProcessLog(MemorySink(), "postfix/trivial-rewrite", 1))
    return StoreRecipients(configuration, SERVICES, router, open_accounts(configuration))


@pytest.mark.parametrize("address", ["joe@virt.test", "JOE@virt.test", "joe+lists@virt.test"])
async def test_an_account_of_the_store_exists(tmp_path: Path, address: str) -> None:
    assert await recipients(tmp_path).unlisted(address) is None


async def test_nobody_else_does(tmp_path: Path) -> None:
    unlisted = await recipients(tmp_path).unlisted("ann@virt.test")
    assert unlisted is not None
    assert (unlisted.code, unlisted.status, unlisted.text) == (550, "5.1.1", "User unknown in virtual mailbox table")


async def test_a_table_need_not_repeat_the_accounts(tmp_path: Path) -> None:
    known = recipients(tmp_path, virtual_mailbox_maps="inline:{ann@virt.test=ann}")
    assert await known.unlisted("ann@virt.test") is None
    assert await known.unlisted("joe@virt.test") is None
    assert await known.unlisted("eve@virt.test") is not None


async def test_a_virtual_alias_exists_without_an_account(tmp_path: Path) -> None:
    known = recipients(tmp_path, virtual_alias_maps="inline:{info@virt.test=joe@virt.test}")
    assert await known.unlisted("info@virt.test") is None
