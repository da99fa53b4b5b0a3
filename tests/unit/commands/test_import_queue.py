import os
from pathlib import Path

import pytest

from posthouse.commands.import_queue import CannotImport, Import, Report, lock_spool, main, summary
from posthouse.host.locks import take_lock
from posthouse.host.users import own_identity
from posthouse.queue.offline import OfflineQueue
from posthouse.queue.store import QueuedMessage, RecipientState, State
from tests.queue_files import defer_log, drop_file, put, queue_file, record

TEXT = b"Received: from here\r\nMessage-Id: <m@x.test>\r\nSubject: t\r\n\r\nbody\r\n"

DEFERRED, HELD, ACTIVE = "4E2F623E293", "4E2F623E294", "4E2F623E295"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A stopped Postfix's."""
    spool = tmp_path / "spool"
    path = put(spool, "deferred", DEFERRED, queue_file(TEXT, recipients=("b@x.test",), done=("a@x.test",)))
    os.utime(path, (2_000_000_000, 2_000_000_000))
    put(spool, "defer", DEFERRED, defer_log("b@x.test", "connect to x.test: Connection refused"), 0o600)
    put(spool, "hold", HELD, queue_file(TEXT), 0o710)
    put(spool, "active", ACTIVE, queue_file(TEXT, extra=(record("A", "log_protocol_name=ESMTP"),)))
    return spool


def run(spool: Path, **options: bool) -> tuple[Report, dict[str, QueuedMessage]]:
    """Import into tmp_path/ours, and what is queued then."""
    ours = spool.parent / "ours"
    said: list[str] = []
    report = Report(said.append)
    Import(str(ours), str(spool), own_identity(), report, **options).run()
    return report, queued(ours)


def queued(ours: Path) -> dict[str, QueuedMessage]:
    queue = OfflineQueue(str(ours / "posthouse" / "queue"))
    try:
        return {message.queue_id: message for message in queue.messages()}
    finally:
        queue.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_each_queue_comes_over_as_it_stands(spool: Path) -> None:
    report, found = run(spool)
    assert report.queued == {"active": 1, "deferred": 1, "hold": 1}
    assert set(found) == {DEFERRED, HELD, ACTIVE}
    deferred = found[DEFERRED]
    assert (deferred.state, deferred.next_attempt) == (State.DEFERRED, 2_000_000_000)
    assert (deferred.arrival_time, deferred.message_id, deferred.hops) == (1795505891.836512, "<m@x.test>", 1)
    assert deferred.size == len(TEXT)
    done, pending = deferred.recipients
    assert (done.state, done.reported, done.dsn) == (RecipientState.DONE, True, None)
    assert pending.recipient.address == "b@x.test"
    assert pending.dsn is not None
    assert (pending.dsn.reason, pending.dsn.action) == ("connect to x.test: Connection refused", "")
    assert (found[HELD].state, found[HELD].force_expired) == (State.HOLD, True)
    assert (found[ACTIVE].state, found[ACTIVE].next_attempt) == (State.INCOMING, 0.0)


def test_the_old_files_move_aside_and_nothing_is_imported_twice(spool: Path) -> None:
    run(spool)
    (aside,) = spool.glob("imported-*")
    assert files(aside) == [DEFERRED, DEFERRED, HELD, ACTIVE]
    assert files(spool) == files(aside)
    report, found = run(spool)
    assert report.queued == {}
    assert len(found) == 3


def test_the_old_files_can_be_removed(spool: Path) -> None:
    run(spool, remove=True)
    assert files(spool) == []


def test_a_bounce_that_was_not_told_is_owed(spool: Path) -> None:
    log = defer_log("a@x.test", "no such user").replace(b"4.4.1", b"5.1.1").replace(b"delayed", b"failed")
    put(spool, "bounce", DEFERRED, log, 0o600)
    done = run(spool)[1][DEFERRED].recipients[0]
    assert done.dsn is not None
    assert (done.state, done.reported, done.dsn.action, done.dsn.status) == (
        RecipientState.DONE,
        False,
        "failed",
        "5.1.1",
    )


def test_a_redirect_takes_the_place_of_those_who_wait(spool: Path) -> None:
    data = queue_file(TEXT, recipients=("z@b.test", "y@a.test"), done=("x@c.test",), found=record(">", "o@x.test"))
    put(spool, "hold", HELD, data)
    recipients = run(spool)[1][HELD].recipients
    assert [(r.recipient.address, r.recipient.original, r.state.name) for r in recipients] == [
        ("x@c.test", "x@c.test", "DONE"),
        ("o@x.test", "y@a.test", "PENDING"),
    ]


def test_damaged_and_half_written_files_are_told_and_left(spool: Path) -> None:
    put(spool, "deferred", "AAAAAAAAAA1", queue_file(TEXT)[:-9])
    put(spool, "incoming", "AAAAAAAAAA2", queue_file(TEXT), 0o600)
    put(spool, "corrupt", "AAAAAAAAAA3", b"junk")
    put(spool, "hold", "AAAAAAAAAA4", drop_file(TEXT))
    os.link(put(spool, "hold", "AAAAAAAAAA5", queue_file(TEXT)), spool / "other")
    said: list[str] = []
    report = Report(said.append)
    Import(str(spool.parent / "ours"), str(spool), own_identity(), report).run()
    assert report.left == 5
    for name, reason in (
        ("deferred/A/AAAAAAAAAA1", "damaged: "),
        ("incoming/AAAAAAAAAA2", "Postfix did not write it to its end: left"),
        ("corrupt/AAAAAAAAAA3", "Postfix found it damaged: left"),
        ("hold/AAAAAAAAAA4", "no file of this queue: left"),
        ("hold/AAAAAAAAAA5", "more than one name: left"),
    ):
        assert any(line.startswith(f"{name}: {reason}") for line in said), (name, said)
    assert len(queued(spool.parent / "ours")) == 3
    assert {"AAAAAAAAAA1", "AAAAAAAAAA2", "AAAAAAAAAA3", "AAAAAAAAAA4", "AAAAAAAAAA5"} <= set(files(spool))


def test_links_are_not_followed(spool: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    put(tmp_path, "elsewhere", "BBBBBBBBBB1", queue_file(TEXT))
    (spool / "incoming").symlink_to(tmp_path / "elsewhere")
    (spool / "hold" / "BBBBBBBBBB2").symlink_to(tmp_path / "elsewhere" / "BBBBBBBBBB1")
    assert set(run(spool)[1]) == {DEFERRED, HELD, ACTIVE}


def test_a_probe_of_postfix_is_set_aside(spool: Path) -> None:
    put(spool, "active", ACTIVE, queue_file(TEXT, extra=(record("A", "trace_flags=256"),)))
    report, found = run(spool)
    assert (report.dropped, set(found)) == (1, {DEFERRED, HELD})


def test_a_large_message_goes_through_a_file(spool: Path) -> None:
    body = b"0123456789abcdef\r\n" * 100_000
    put(spool, "hold", HELD, queue_file(b"Subject: large\r\n\r\n" + body))
    _, found = run(spool)
    assert found[HELD].size == len(body) + 18


def test_an_id_that_is_none_of_ours_is_exchanged_and_the_file_says_for_which(spool: Path) -> None:
    put(spool, "hold", "abcdefghij", queue_file(TEXT))
    report, found = run(spool)
    assert report.renamed == 1
    (new,) = set(found) - {DEFERRED, HELD, ACTIVE}
    assert [path.name for path in spool.glob("imported-*/hold/*-as-*")] == [f"abcdefghij-as-{new}"]


def test_a_dry_run_changes_nothing(spool: Path) -> None:
    put(spool, "deferred", "AAAAAAAAAA1", b"junk")
    put(spool, "maildrop", "AAAAAAAAAA2", drop_file(TEXT), 0o744)
    before = files(spool)
    report = Report(lambda _: None)
    Import(str(spool.parent / "ours"), str(spool), own_identity(), report).dry_run()
    assert summary(report, dry_run=True) == [
        "3 messages would be imported (1 active, 1 deferred, 1 hold)",
        "1 in the maildrop: taken as new mail by the running system",
        "1 left where they are",
    ]
    assert files(spool) == before
    assert not (spool.parent / "ours").exists()


def test_a_running_postfix_is_refused(spool: Path) -> None:
    (spool / "pid").mkdir()
    lock = take_lock(str(spool / "pid" / "master.pid"))
    assert lock is not None
    with pytest.raises(CannotImport, match="stop it first"):
        lock_spool(str(spool), str(spool.parent / "ours"))
    lock.release()
    kept = lock_spool(str(spool), str(spool.parent / "ours"))
    assert kept is not None
    assert take_lock(str(spool / "pid" / "master.pid")) is None
    kept.release()


def configuration(folder: Path) -> str:
    etc = folder / "etc"
    etc.mkdir()
    (etc / "main.cf").write_text(
        f"queue_directory = {folder}/ours\ndata_directory = {folder}/data\nmail_owner = {own_name()}\n"
    )
    (etc / "master.cf").write_text("")
    return str(etc)


def own_name() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def test_the_command_says_what_it_did(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(spool, "maildrop", "AAAAAAAAAA2", drop_file(TEXT), 0o744)
    spool.parent.chmod(0o755)
    etc = configuration(spool.parent)
    assert main(etc, str(spool), dry_run=False, remove=False) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "3 messages imported (1 active, 1 deferred, 1 hold)"
    drops = list((spool.parent / "ours" / "posthouse" / "maildrop").iterdir())
    assert [path.name.partition("-")[0] for path in drops] == ["AAAAAAAAAA2"]
    assert drops[0].read_bytes() == drop_file(TEXT)
    assert files(spool / "maildrop") == []
    assert main(etc, str(spool), dry_run=False, remove=False) == 0
    assert capsys.readouterr().out == "0 messages imported\n"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    etc = configuration(tmp_path)
    if os.geteuid() == 0:
        assert main(etc, str(tmp_path / "none"), dry_run=False, remove=False) == 1
        assert "no such folder" in capsys.readouterr().err
