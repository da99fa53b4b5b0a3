"""queue_directory is not there: each command ends as Postfix's, which go into it first, and makes nothing."""

import io
from pathlib import Path

import pytest

from posthouse.commands import mailq, postcat, postkick, postqueue, postsuper, qshape, sendmail


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "main.cf").write_text(
        f"queue_directory = {tmp_path}/spool\nmaillog_file = {tmp_path}/log\nmaillog_file_prefixes = {tmp_path}\n"
    )
    (tmp_path / "master.cf").write_text("qmgr unix n - n 300 1 qmgr\n")
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["sendmail"])
    monkeypatch.setattr("os.geteuid", lambda: 0)  # for postsuper
    return tmp_path / "spool"


@pytest.mark.parametrize(
    ("main", "arguments", "status", "start"),
    [
        (postqueue.main, ["-p"], 69, "postqueue: fatal: chdir "),
        (postqueue.main, ["-f"], 69, "postqueue: fatal: chdir "),
        (mailq.main, [], 75, "sendmail: fatal: chdir "),
        (sendmail.main, ["-q"], 75, "sendmail: fatal: chdir "),
        (sendmail.main, ["a@x.example"], 75, "sendmail: fatal: chdir "),
        (postcat.main, ["-q", "ABC"], 1, "postcat: fatal: chdir "),
        (postsuper.main, ["-d", "ABC"], 1, "postsuper: fatal: chdir "),
        (postkick.main, ["public", "qmgr", "F"], 1, "postkick: fatal: chdir "),
        (qshape.main, [], 2, "qshape: chdir("),
    ],
)
def test_a_missing_queue_directory_is_fatal(
    spool: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    main: object,
    arguments: list[str],
    status: int,
    start: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert callable(main)
    assert main(arguments) == status
    end = ")" if start.endswith("(") else ""
    assert capfd.readouterr().err == f"{start}{spool}{end}: No such file or directory\n"
    assert not spool.exists()
