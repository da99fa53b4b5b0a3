import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.commands import postcat
from posthouse.wire.postfix_record import NotAQueueFile, parse_records


def record(kind: str, data: bytes) -> bytes:
    length, out = len(data), bytearray(kind.encode())
    while True:
        byte, length = length & 0x7F, length >> 7
        out.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(out) + data


FILE = b"".join(
    [
        record("T", b"0 0"),
        record("A", b"create_time=0"),
        record("S", b"s@example.org"),
        record("R", b"r@example.net"),
        record("M", b""),
        record("N", b"Subject: x"),
        record("N", b""),
        record("L", b"y" * 200),
        record("N", b"z"),
        record("X", b""),
        record("E", b""),
    ]
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_a_postfix_queue_file_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILE)
    assert postcat.main([str(path)]) == 0
    assert capfd.readouterr().out == (
        f"*** ENVELOPE RECORDS {path} ***\n"
        "message_arrival_time: Thu Jan  1 00:00:00 1970\ncreate_time: Thu Jan  1 00:00:00 1970\n"
        "sender: s@example.org\nrecipient: r@example.net\n"
        f"*** MESSAGE CONTENTS {path} ***\nSubject: x\n\n{'y' * 200}z\n"
        f"*** HEADER EXTRACTED {path} ***\n*** MESSAGE FILE END {path} ***\n"
    )


def test_offsets_and_types_are_those_of_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILE)
    assert postcat.main(["-doe", str(path)]) == 0
    assert capfd.readouterr().out.splitlines()[1:6] == [
        "        0  84 message_arrival_time: Thu Jan  1 00:00:00 1970",
        "        5  65 create_time: Thu Jan  1 00:00:00 1970",
        "       20  83 sender: s@example.org",
        "       35  82 recipient: r@example.net",
        f"       50  77 *** MESSAGE CONTENTS {path} ***",
    ]


def test_another_file_is_warned_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "junk"
    path.write_text("junk file\n")
    assert postcat.main([str(path)]) == 0
    assert capfd.readouterr().err == f"postcat: warning: {path}: input is not a valid queue file\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-q", "NOSUCH"], "postcat: fatal: open queue file NOSUCH: No such file or directory\n"),
        (["-q", "bad/id"], "postcat: fatal: bad mail queue ID: bad/id\n"),
        (["/nonexist"], "postcat: fatal: open /nonexist: No such file or directory\n"),
        (["-Z"], f"postcat: invalid option -- 'Z'\npostcat: fatal: {postcat.USAGE}\n"),
    ],
)
def test_what_cannot_be_shown_is_fatal(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    (tmp_path / "main.cf").write_text(f"queue_directory = {tmp_path}\n")
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    assert postcat.main(arguments) == 1
    assert capfd.readouterr().err == words


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_no_queue_file(data: bytes) -> None:
    try:
        list(parse_records(data))
    except NotAQueueFile:
        pass
