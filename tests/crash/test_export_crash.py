"""A give-back is killed after each step of its export; what goes on then delivers each message exactly once."""

import os
import pwd
from pathlib import Path

from posthouse.commands import export_queue, import_queue
from posthouse.commands.export_queue import Export
from posthouse.commands.import_queue import Import, Report
from posthouse.config.configuration import Configuration
from posthouse.config.read import read_configuration
from posthouse.envelope.envelope import Recipient
from posthouse.host.maildrop import drop, dropped, make_maildrop
from posthouse.host.users import own_identity
from posthouse.queue.handed_back import settle_broken_off
from posthouse.queue.offline import OfflineQueue
from posthouse.wire.intake import Submission
from posthouse.wire.queue_file import content_pieces, parse_queue_file
from tests.killed_child import Step, killed_at
from tests.queue_files import put, queue_file

SUBJECTS = ["deferred", "dropped", "held", "large"]


def _fill(folder: Path) -> Configuration:
    """A queue of ours with a message of each kind, and a stopped Postfix's empty one around it."""
    ours, old = folder / "spool", folder / "old"
    for name in ("incoming", "deferred", "hold", "maildrop", "defer", "bounce", "trace", "pid"):
        (ours / name).mkdir(parents=True)
    put(old, "deferred", "4E2F623E290", queue_file(b"Subject: deferred\r\n\r\nb\r\n"))
    put(old, "hold", "4E2F623E291", queue_file(b"Subject: held\r\n\r\nb\r\n"))
    put(old, "active", "4E2F623E292", queue_file(b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 8000))
    Import(str(ours), str(old), own_identity(), Report(lambda _: None)).run()
    identity = own_identity()
    make_maildrop(str(ours), identity.uid, identity.gid)
    drop(str(ours), Submission("me", (Recipient("you"),)), [b"Subject: dropped\r\n\r\nb\r\n"])
    etc = folder / "etc"
    etc.mkdir()
    user = pwd.getpwuid(os.geteuid()).pw_name
    (etc / "main.cf").write_text(f"queue_directory = {ours}\ndata_directory = {folder}/data\nmail_owner = {user}\n")
    (etc / "master.cf").write_text("")
    return read_configuration(str(etc))


def _killed_at(configuration: Configuration, at: int) -> bool:
    """Export in a child that dies at a step; False when it came to its end before."""

    def work(step: Step) -> None:
        export_queue.BATCH_MESSAGES = 2
        export = Export(configuration, lambda _: None)
        export.step = step
        export.run()

    return killed_at(at, work)


def _subject(content: bytes) -> str:
    return content.partition(b"\r\n")[0].decode().removeprefix("Subject: ")


def _we_deliver(spool: Path) -> list[str]:
    """What our system does that is started now: it settles first."""
    settle_broken_off(str(spool), long_ids=False)
    queue = OfflineQueue(str(spool / "posthouse" / "queue"))
    found = []
    for message in list(queue.messages()):
        content = queue.content(message.queue_id)
        assert content is not None
        found.append(_subject(content.header))
    for _ in queue.operate_all("delete"):
        pass
    queue.close()
    for one in dropped(str(spool)):
        if "posthouse" in one.path:
            os.unlink(one.path)
            found.append("dropped")
    return found


def _postfix_has(spool: Path) -> list[str]:
    found = []
    for queue in ("incoming", "deferred", "hold", "maildrop"):
        for path in (spool / queue).rglob("*"):
            assert path.name.endswith(f"{path.stat().st_ino:X}"), path
            data = path.read_bytes()
            found.append(_subject(b"".join(content_pieces(data, parse_queue_file(data)))))
    return found


def test_every_step_of_an_export(tmp_path: Path) -> None:
    for started_between in (False, True):
        at = 0
        killed = True
        while killed:
            at += 1
            folder = tmp_path / f"{started_between}-{at}"
            configuration = _fill(folder)
            spool = folder / "spool"
            killed = _killed_at(configuration, at)
            delivered = _we_deliver(spool) if started_between else []
            again = Export(configuration, lambda _: None)
            again.run()
            assert again.left == 0
            assert sorted(delivered + _postfix_has(spool)) == SUBJECTS, (started_between, at)
            assert not [*(spool / "bounce").iterdir(), *(spool / "trace").iterdir()]
        assert at == 3 * 3 + 1  # two batches of the queue, and a drop


def test_killed_again_and_again(tmp_path: Path) -> None:
    configuration = _fill(tmp_path)
    for at in (1, 2, 1, 3, 2, 1, 1, 99):
        _killed_at(configuration, at)
    assert sorted(_postfix_has(tmp_path / "spool")) == SUBJECTS


def test_an_import_that_was_broken_off_is_finished_first(tmp_path: Path) -> None:
    """A take-over that was killed over the queue, and is given back: at each step of the import."""
    at = 0
    killed = True
    while killed:
        at += 1
        configuration = _fill(tmp_path / f"{at}")
        spool = tmp_path / f"{at}" / "spool"
        Export(configuration, lambda _: None).run()
        child = os.fork()
        if not child:
            left = [at]

            def step(_: str, left: list[int] = left) -> None:
                left[0] -= 1
                if not left[0]:
                    os._exit(9)

            try:
                import_queue.BATCH_MESSAGES = 2
                Import(str(spool), str(spool), own_identity(), Report(lambda _: None), False, step).run()
            finally:
                os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        export = Export(configuration, lambda _: None)
        if not export.nothing():
            export.run()
        assert sorted(_postfix_has(spool)) == SUBJECTS, at
    assert at > 10
