"""A user's own mail: his .forward and his mailbox."""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.tables.maps import Maps
from posthouse.transport.hands import Errand, Report
from posthouse.transport.local import user
from posthouse.transport.local.people import Person
from posthouse.transport.local.settings import UserSettings
from posthouse.transport.local.user import Delivery, Workshop, environment

WARNED: list[str] = []

SAFE = "0123456789@%-_=+:,./abcdefghijklmnopqrstuvwxyz"

SETTINGS = UserSettings(
    alias_maps="",
    allow_mail_to_commands=("alias", "forward"),
    allow_mail_to_files=("alias", "forward"),
    command_execution_directory="",
    command_expansion_filter=SAFE,
    command_time_limit=10,
    default_privs="nobody",
    deliver_lock_attempts=1,
    deliver_lock_delay=0,
    execution_directory_expansion_filter=SAFE,
    export_environment=(),
    import_environment=(),
    forward_expansion_filter=SAFE,
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
    workshop = Workshop(SETTINGS, Maps("mailbox_command_maps", []), lambda: 0.0, WARNED.append)
    person = Person("tony", os.getuid(), os.getgid(), str(home))
    errand = Errand("user", "local", ("tony",), "ABC", "s@x.test", recipient, "", 0.0, 20, extension)
    return Delivery(workshop, errand, person, content).forward_file()


def test_the_addresses_of_a_forward_go_back_to_the_agent(tmp_path: Path, content: int) -> None:
    (tmp_path / ".forward").write_text("\\tony, bob@else.test, tony\n")
    report = forwarded(tmp_path, content)
    assert report is not None
    assert (report.forwards, report.forwarded, report.results) == (("\\tony", "bob@else.test", "tony"), True, ())
    assert not (tmp_path / "Mailbox").exists()


def test_a_mailbox_command_is_the_shells_to_expand(tmp_path: Path, content: int) -> None:
    settings = replace(SETTINGS, mailbox_command=f"cat > {tmp_path}/got; echo $USER $EXTENSION $user >> {tmp_path}/got")
    workshop = Workshop(settings, Maps("mailbox_command_maps", []), lambda: 0.0, WARNED.append)
    person = Person("tony", os.getuid(), os.getgid(), str(tmp_path))
    errand = Errand("user", "local", ("tony",), "ABC", "s@x.test", "tony+box@tony.test", "", 0.0, 20, "box")
    (result,) = Delivery(workshop, errand, person, content).mailbox().results
    assert result.dsn.reason == f"delivered to command: {settings.mailbox_command}"
    text = (tmp_path / "got").read_text()
    assert text.endswith("Delivered-To: tony+box@tony.test\nSubject: x\n\nbody\ntony box\n")


def test_a_mailbox_without_delivered_to(tmp_path: Path, content: int) -> None:
    workshop = Workshop(replace(SETTINGS, prepend_delivered_header=()), Maps("m", []), lambda: 0.0, WARNED.append)
    person = Person("tony", os.getuid(), os.getgid(), str(tmp_path))
    errand = Errand("user", "local", ("tony",), "ABC", "s@x.test", "tony@tony.test", "", 0.0, 20)
    Delivery(workshop, errand, person, content).mailbox()
    assert b"Delivered-To" not in (tmp_path / "Mailbox").read_bytes()


def test_an_extension_leads_to_no_forward_file_elsewhere(tmp_path: Path, content: int) -> None:
    (tmp_path / ".forward+").mkdir()
    (tmp_path / "notes").write_text("secret@else.test\n")
    assert forwarded(tmp_path, content, extension="/../notes") is None


@pytest.mark.parametrize(("uid", "warnings"), [(0, 0), (4711, 1)])
def test_that_root_s_home_is_closed_to_default_privs_is_no_complaint(
    tmp_path: Path, content: int, monkeypatch: pytest.MonkeyPatch, uid: int, warnings: int
) -> None:
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(user, "read_small", lambda *_, **__: denied)
    said: list[str] = []
    workshop = Workshop(SETTINGS, Maps("mailbox_command_maps", []), lambda: 0.0, said.append)
    errand = Errand("user", "local", ("root",), "ABC", "s@x.test", "root@tony.test", "", 0.0, 20)
    assert Delivery(workshop, errand, Person("root", uid, uid, str(tmp_path)), content).forward_file() is None
    assert said == [f"cannot open file {tmp_path}/.forward: Permission denied"] * warnings


def test_a_command_sees_no_character_of_a_stranger_that_a_shell_knows() -> None:
    errand = Errand("alias", "local", ("list",), "ABC", "a;b $c@x.test", "list@tony.test", "", 0.0, 20)
    found = environment(errand, None, SETTINGS)
    assert found["SENDER"] == "a_b__c@x.test"


def test_a_command_sees_the_null_sender() -> None:
    errand = Errand("alias", "local", ("list",), "ABC", "", "list@tony.test", "", 0.0, 20)
    assert environment(errand, None, SETTINGS)["SENDER"] == ""


def test_the_delimiter_of_a_forward_file_is_the_one_that_was_used(tmp_path: Path, content: int) -> None:
    (tmp_path / ".forward-box").write_text("minus@else.test\n")
    (tmp_path / ".forward+box").write_text("plus@else.test\n")
    settings = replace(SETTINGS, recipient_delimiter="+-")
    workshop = Workshop(settings, Maps("mailbox_command_maps", []), lambda: 0.0, WARNED.append)
    person = Person("tony", os.getuid(), os.getgid(), str(tmp_path))
    errand = Errand("user", "local", ("tony",), "ABC", "s@x.test", "tony-box@tony.test", "", 0.0, 20, "box")
    report = Delivery(workshop, errand, person, content).forward_file()
    assert report is not None
    assert report.forwards == ("minus@else.test",)


def test_a_forward_file_that_others_can_write_is_passed_over_with_a_warning(tmp_path: Path, content: int) -> None:
    path = tmp_path / ".forward"
    path.write_text("bob@else.test\n")
    path.chmod(0o666)
    assert forwarded(tmp_path, content) is None
    assert WARNED[-1] == f"file {path} is world writable"
    path.unlink()
    path.mkdir()
    assert forwarded(tmp_path, content) is None
    assert WARNED[-1] == f"file {path} is not a regular file"


def test_mail_waits_for_a_home_that_is_not_there(tmp_path: Path, content: int) -> None:
    workshop = Workshop(replace(SETTINGS, require_home_directory=True), Maps("m", []), lambda: 0.0, WARNED.append)
    person = Person("tony", os.getuid(), os.getgid(), str(tmp_path / "gone"))
    errand = Errand("user", "local", ("tony",), "ABC", "s@x.test", "tony@tony.test", "", 0.0, 20)
    delivery = Delivery(workshop, errand, person, content)
    for report in (delivery.forward_file(), delivery.mailbox()):
        assert report is not None
        (result,) = report.results
        assert result.dsn.reason == f"cannot access home directory {tmp_path}/gone: No such file or directory"
