"""An import of a Postfix spool is killed after each of its steps, and run again: each message is there exactly once."""

from pathlib import Path

from posthouse.commands import import_queue
from posthouse.commands.import_queue import Import, Report
from posthouse.host.users import own_identity
from posthouse.queue.offline import OfflineQueue
from tests.killed_child import Step, killed_at
from tests.queue_files import put, queue_file

MESSAGES = 3


def _fill(spool: Path) -> None:
    for number in range(MESSAGES):
        body = b"0123456789abcdef\r\n" * (8000 if number == 1 else 1)
        put(spool, "deferred", f"4E2F623E29{number}", queue_file(b"Subject: t\r\n\r\n" + body))


def _killed_at(spool: Path, ours: Path, at: int, *, remove: bool) -> bool:
    """Run the import in a child that dies at a step; False when it came to its end before."""

    def work(step: Step) -> None:
        import_queue.BATCH_MESSAGES = 2
        Import(str(ours), str(spool), own_identity(), Report(lambda _: None), remove, step).run()

    return killed_at(at, work)


def _delivered(ours: Path) -> list[str]:
    """Take all mail out of the queue, as a running system would at any moment between two runs."""
    root = ours / "posthouse" / "queue"
    if not root.is_dir():
        return []
    queue = OfflineQueue(str(root))
    found = []
    for message in list(queue.messages()):
        content = queue.content(message.queue_id)
        assert content is not None
        assert content.size == message.size
        found.append(message.queue_id)
    queue.operate("delete", tuple(found))
    queue.close()
    return found


def test_every_step_of_an_import(tmp_path: Path) -> None:
    for remove in (False, True):
        at = 0
        killed = True
        while killed:
            at += 1
            folder = tmp_path / f"{remove}-{at}"
            spool, ours = folder / "spool", folder / "ours"
            _fill(spool)
            killed = _killed_at(spool, ours, at, remove=remove)
            delivered = _delivered(ours)
            for _ in range(2):
                Import(str(ours), str(spool), own_identity(), Report(lambda _: None), remove).run()
                delivered += _delivered(ours)
            assert sorted(delivered) == [f"4E2F623E29{number}" for number in range(MESSAGES)], at
            assert not list((spool / "deferred").rglob("4E*"))
        assert at > 10


def test_killed_again_and_again(tmp_path: Path) -> None:
    spool, ours = tmp_path / "spool", tmp_path / "ours"
    _fill(spool)
    delivered = []
    for at in (4, 5, 6, 7, 8, 9, 5, 4, 100):
        _killed_at(spool, ours, at, remove=False)
        delivered += _delivered(ours)
    assert sorted(delivered) == [f"4E2F623E29{number}" for number in range(MESSAGES)]
