"""qshape's tables, recorded from Postfix 3.7.11 (tests/golden/qshape), and those of our own queue."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.commands.qshape import Shape, Table, main

CASE = Path(__file__).parents[2] / "golden" / "qshape" / "sessions"


def _record(kind: str, text: str) -> bytes:
    data = text.encode()
    assert len(data) < 128 * 128
    length = bytes([len(data)]) if len(data) < 128 else bytes([len(data) & 127 | 128, len(data) >> 7])
    return kind.encode() + length + data


def _queue(folder: Path) -> None:
    """Postfix's queue files: queue, age in seconds, sender ("-" for none), recipients."""
    now = int(time.time())
    content = _record("N", "Subject: x") + _record("N", "") + _record("N", "body")
    for number, line in enumerate((CASE / "queue").read_text().splitlines()):
        queue, age, sender, *recipients = line.split()
        data = _record("C", f"{len(content):>15} {200:>15} {len(recipients):>15} {0:>15} {0:>15} {0:>15}")
        data += _record("T", f"{now - int(age) - 1} 0") + _record("S", sender.strip("-"))
        data += b"".join(_record("R", one) for one in recipients)
        data += _record("M", "") + content + _record("X", "") + _record("E", "")
        (folder / queue).mkdir(exist_ok=True)
        path = folder / queue / f"{0xA000000000 + number:010X}"
        path.write_bytes(data)
        path.chmod(0o700)


def _play(folder: Path, run: Callable[[list[str]], str]) -> str:
    """Rows of one count stand in any order in Postfix's table: sorted here."""
    said = ""
    for line in (CASE / "in").read_text().splitlines():
        heading, *rows = run(line.replace("@", str(folder)).split()).splitlines()
        said += f"$ qshape {line}\n" + "".join(f"{row}\n" for row in (heading, *sorted(rows)))
    return said


def test_the_tables_are_postfixs(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    _queue(tmp_path)

    def run(arguments: list[str]) -> str:
        assert main(arguments) == 0
        out, err = capfdbinary.readouterr()
        assert err == b""
        return out.decode()

    assert (CASE / "out").read_text() == _play(tmp_path, run)


def test_our_own_queue_is_empty_when_there_is_none(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (tmp_path / "main.cf").write_text(f"queue_directory = {tmp_path}\n")
    assert main(["-c", str(tmp_path), "-b", "2"]) == 0
    assert capfdbinary.readouterr().out.decode().split() == ["T", "5", "5+", "TOTAL", "0", "0", "0"]


def test_what_is_no_option_ends_as_a_perl_program_does(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["-Z"]) == 255
    assert b"Unknown option: Z\nUsage: " in capfdbinary.readouterr().err


def test_a_row_comes_in_the_column_of_its_age() -> None:
    table = Table(Shape(buckets=3), now=10_000.0)
    for age in (0, 299, 300, 599, 600, 9_999):
        table.add((10_000.0 - age, "a@b", ["c@d"]))
    assert [line.split() for line in table.lines()] == [
        ["T", "5", "10", "10+"],
        ["d", "6", "2", "2", "2"],
        ["TOTAL", "6", "2", "2", "2"],
    ]


if __name__ == "__main__":  # records anew, from the Postfix of this machine
    folder = Path(sys.argv[1])
    _queue(folder)
    program = shutil.which("qshape", path=f"/usr/sbin:{os.defpath}")
    assert program is not None

    def record(arguments: list[str]) -> str:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout

    (CASE / "out").write_text(_play(folder, record))
