"""The mail log's lines."""

import os
import socket
import time
from pathlib import Path

import pytest

from posthouse.host.log import LINE_LIMIT, FileSink, MemorySink, ProcessLog, SyslogSink, printable


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def file_sink(path: Path, *, buffered: bool = False) -> FileSink:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return FileSink(descriptor, "mail.example.com", buffered=buffered, clock=lambda: 1_700_000_000.5)


def test_a_line_is_as_syslog_writes_it(tmp_path: Path, utc: None) -> None:
    sink = file_sink(tmp_path / "log")
    log = ProcessLog(sink, "postfix/smtpd", 42)
    log.info("connect from unknown[192.0.2.1]")
    log.warning("odd")
    os.close(sink.descriptor)
    assert (tmp_path / "log").read_text() == (
        "Nov 14 22:13:20 mail postfix/smtpd[42]: connect from unknown[192.0.2.1]\n"
        "Nov 14 22:13:20 mail postfix/smtpd[42]: warning: odd\n"
    )


def test_a_batch_leaves_at_flush(tmp_path: Path) -> None:
    sink = file_sink(tmp_path / "log", buffered=True)
    ProcessLog(sink, "postfix/qmgr").info("one")
    assert (tmp_path / "log").read_text() == ""
    sink.flush()
    sink.flush()
    os.close(sink.descriptor)
    assert (tmp_path / "log").read_text().count("\n") == 1


def test_somebody_hears_once_that_a_batch_waits(tmp_path: Path) -> None:
    told: list[str] = []
    sink = file_sink(tmp_path / "log", buffered=True)
    sink.on_waiting = lambda: told.append((tmp_path / "log").read_text())
    log = ProcessLog(sink, "postfix/qmgr")
    log.info("one")
    log.info("two")
    assert told == [""]
    sink.flush()
    log.info("three")
    os.close(sink.descriptor)
    assert [text.count("\n") for text in told] == [0, 2]


@pytest.mark.parametrize("text", ["two\nlines", "esc\x1b[2J", "tab\t", "\udcff", "\u202eright"])
def test_no_text_makes_a_line_of_its_own_or_drives_a_terminal(text: str) -> None:
    sink = MemorySink()
    ProcessLog(sink, "postfix/smtpd").info(text)
    (line,) = sink.lines
    assert line.isprintable()
    assert len(line) == len("postfix/smtpd: ") + len(text)


def test_what_is_printable_stays() -> None:
    assert printable("Grüße <a@b>") == "Grüße <a@b>"


def test_a_long_text_is_cut() -> None:
    sink = MemorySink()
    ProcessLog(sink, "x").info("y" * 3 * LINE_LIMIT)
    assert sink.lines == [f"x: {'y' * LINE_LIMIT}"]


def test_a_full_disk_loses_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    FileSink(descriptor, "mail").write("postfix/smtpd", "info", "text", 1)
    os.close(descriptor)
    assert "No space left on device" in capsys.readouterr().err


def test_a_session_and_another_program_have_their_names() -> None:
    sink = MemorySink()
    log = ProcessLog(sink, "postfix/submission/smtpd", 7)
    assert log.session(99).number == 99
    assert log.program("cleanup").name == "postfix/submission/cleanup"
    assert ProcessLog(sink, "posthouse").program("cleanup").name == "posthouse/cleanup"


def test_syslog_gets_facility_and_level(tmp_path: Path, utc: None) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(5)
        log = ProcessLog(SyslogSink("local3", path, clock=lambda: 1_700_000_000), "postfix/smtpd", 42)
        log.info("one")
        log.fatal("two")
        assert server.recv(4096) == b"<158>Nov 14 22:13:20 postfix/smtpd[42]: one"
        assert server.recv(4096) == b"<154>Nov 14 22:13:20 postfix/smtpd[42]: fatal: two"


def test_without_syslog_nothing_fails_and_it_is_found_again(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    log = ProcessLog(SyslogSink("mail", path), "x", 1)
    log.info("lost")
    for text in ("first", "second"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(path)
            server.settimeout(5)
            log.info(text)
            assert server.recv(4096).endswith(text.encode())
        os.unlink(path)
