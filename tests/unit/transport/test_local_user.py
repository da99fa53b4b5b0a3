"""A user's own mail: his .forward and his mailbox."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.tables.maps import Maps
from posthouse.transport.hands import Errand, Report
from posthouse.transport.local.people import Person
from posthouse.transport.local.settings import UserSettings
from posthouse.transport.local.user import Delivery, Workshop

SETTINGS = UserSettings(
    alias_maps="",
    allow_mail_to_commands=("alias", "forward"),
    allow_mail_to_files=("alias", "forward"),
    command_execution_directory="",
    command_time_limit=10,
    default_privs="nobody",
    deliver_lock_attempts=1,
    deliver_lock_delay=0,
    export_environment=(),
    import_environment=(),
    forward_path="$home/.forward${recipient_delimiter}${extension}, $home/.forward",
    home_mailbox="Mailbox",
    local_command_shell="",
    mail_spool_directory="/nowhere",
    mailbox_command="",
    mailbox_command_maps="",
    mailbox_delivery_lock=("fcntl",),
    mailbox_size_limit=0,
    prepend_delivered_header=("command", "file", "forward"),
    queue_directory="/",
    recipient_delimiter="+",
    require_home_directory=False,
    stale_lock_time=500,
    strict_mailbox_ownership=True,
)


@pytest.fixture
def content(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "content"
    path.write_bytes(b"Subject: x\r\n\r\nbody\r\n")
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def forwarded(home: Path, content: int, *, recipient: str = "tony@tony.test", extension: str = "") -> Report | None:
    workshop = Workshop(SETTINGS, Maps("mailbox_command_maps", []), lambda: 0.0)
    person = Person("tony", os.getuid(), os.getgid(), str(home))
    errand = Errand("user", "local", ("tony",), "ABC", "s@x.test", recipient, "", 0.0, 20, extension)
    return Delivery(workshop, errand, person, content).forward_file()


def test_the_addresses_of_a_forward_go_back_to_the_agent(tmp_path: Path, content: int) -> None:
    (tmp_path / ".forward").write_text("\\tony, bob@else.test, tony\n")
    report = forwarded(tmp_path, content)
    assert report is not None
    assert (report.forwards, report.forwarded, report.results) == (("\\tony", "bob@else.test", "tony"), True, ())
    assert not (tmp_path / "Mailbox").exists()


def test_an_extension_leads_to_no_forward_file_elsewhere(tmp_path: Path, content: int) -> None:
    (tmp_path / ".forward+").mkdir()
    (tmp_path / "notes").write_text("secret@else.test\n")
    assert forwarded(tmp_path, content, extension="/../notes") is None
