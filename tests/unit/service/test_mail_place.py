"""Where a login's mail is: what local delivery does with mail for it decides."""

from pathlib import Path

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import read_master_cf
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.routing.router import Router
from posthouse.service.mail_place import MailPlaces
from posthouse.tables.table import drive

MASTER = """\
local unix - n n - - local
maildir unix - n n - - local
  -o home_mailbox=Maildir/
stored unix - n n - - local
  -o mailbox_transport=store
store unix - - n - - store
relay unix - - n - - smtp
"""


@pytest.fixture
def places(tmp_path: Path) -> MailPlaces:
    (tmp_path / "master.cf").write_text(MASTER)
    values = {
        "myhostname": "mail.x.test",
        "mydestination": "x.test",
        "myorigin": "x.test",
        "local_recipient_maps": "",
        "alias_maps": "",
        "transport_maps": "inline:{ { mary@x.test=maildir: }, { sam@x.test=stored: }, { sue@x.test=store: },"
        " { rob@x.test=relay:[far.test] } }",
    }
    configuration = Configuration(str(tmp_path), values)
    router = Router.open(configuration, ProcessLog(MemorySink(), "postfix/trivial-rewrite"))
    return MailPlaces(configuration, read_master_cf(str(tmp_path / "master.cf")), router)


def test_a_user_is_read_where_main_cf_says(places: MailPlaces) -> None:
    found = drive(places.settings_of("tony"))
    assert found is not None
    assert (found.home_mailbox, found.mail_spool_directory) == ("", "/var/mail")


def test_a_user_with_a_transport_of_his_own_is_read_there(places: MailPlaces) -> None:
    found = drive(places.settings_of("mary"))
    assert found is not None
    assert found.home_mailbox == "Maildir/"


@pytest.mark.parametrize("login", ["sam", "sue", "box@x.test"])
def test_what_the_store_keeps_is_read_there(places: MailPlaces, login: str) -> None:
    assert drive(places.settings_of(login)) is None


def test_a_user_whose_mail_goes_elsewhere_is_read_where_it_lay_before(places: MailPlaces) -> None:
    found = drive(places.settings_of("rob"))
    assert found is not None
    assert found.home_mailbox == ""
