from pathlib import Path

import pytest

from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.queue.local import QueueSettings, open_queue
from posthouse.queue.offline import OfflineQueue
from posthouse.queue.queue_id import BLOCK, NumberSource, number_of
from posthouse.queue.staged import ImportRunning, StagedMessage, StagedShard, broken_off
from posthouse.queue.store import QueuedMessage, RecipientState, State, StoredRecipient

LOG = ProcessLog(MemorySink(), "postfix/qmgr")


def message(queue_id: str, dsn: Dsn | None = None) -> QueuedMessage:
    recipients = (Recipient("done@x.test"), Recipient("a@x.test"))
    stored = (
        StoredRecipient(0, recipients[0], RecipientState.DONE, reported=True),
        StoredRecipient(1, recipients[1], dsn=dsn),
    )
    return QueuedMessage(queue_id, 1000.5, Envelope("s@x.test", recipients), stored, 0, State.DEFERRED, 2000.0)


def staged(queue_id: str, body: bytes = b"body\r\n") -> StagedMessage:
    return StagedMessage(message(queue_id, Dsn("4.4.1", "refused")), b"Subject: t\r\n", [body[:3], body[3:]])


IDS = ["4E2F623E293", "12345ABCD", "4jYZqR4xNFzJw9k"]


def test_ids_of_both_forms_are_kept_and_others_get_one_of_ours(tmp_path: Path) -> None:
    shard = StagedShard(str(tmp_path))
    shard.keep_ids(IDS)
    assert [shard.id_for(queue_id, 1.0) for queue_id in IDS] == IDS
    new = shard.id_for("xyz", 1.25)
    assert number_of(new) is not None
    assert new != "xyz"
    shard.close()


def test_nothing_is_of_the_queue_before_activation_and_all_of_it_after(tmp_path: Path) -> None:
    shard = StagedShard(str(tmp_path))
    shard.keep_ids(IDS)
    large = b"0123456789abcdef\r\n" * 8000
    shard.add([staged(IDS[0]), staged(IDS[1], large)])
    queue = OfflineQueue(str(tmp_path))
    assert list(queue.messages()) == []
    queue.close()
    name = shard.activate()
    assert broken_off(str(tmp_path)) is None
    queue = OfflineQueue(str(tmp_path))
    found = {found.queue_id: found for found in queue.messages()}
    assert set(found) == set(IDS[:2])
    one = found[IDS[0]]
    assert (one.size, one.state, one.next_attempt) == (20, State.DEFERRED, 2000.0)
    assert [r.state for r in one.recipients] == [RecipientState.DONE, RecipientState.PENDING]
    assert one.recipients[1].dsn == Dsn("4.4.1", "refused")
    content = queue.content(IDS[1])
    assert content is not None
    assert content.body.data == large  # type: ignore[attr-defined]  # the offline queue reads it whole
    queue.close()
    assert name == "00000001"


async def test_a_worker_adopts_it_and_gives_no_id_of_its_blocks(tmp_path: Path) -> None:
    root = str(tmp_path)
    store = await open_queue(root, QueueSettings(), LOG)
    shard = StagedShard(root)
    shard.keep_ids(IDS)
    shard.add([staged(queue_id) for queue_id in IDS])
    shard.activate()
    assert await store.tend()
    for queue_id in IDS:
        loaded = await store.load(queue_id)
        assert loaded is not None
        assert await store.load_content(queue_id) is not None
    await store.close()
    aside = {(number_of(queue_id) or 0) // BLOCK for queue_id in IDS}
    source = NumberSource(str(tmp_path / "numbers"))
    (tmp_path / "numbers").write_bytes(b"%d\n" % (min(aside) * BLOCK))
    assert source.next() // BLOCK not in aside


async def test_an_id_whose_block_is_in_use_is_not_kept(tmp_path: Path) -> None:
    root = str(tmp_path)
    store = await open_queue(root, QueueSettings(), LOG)
    taken = store.new_queue_id()
    shard = StagedShard(root)
    shard.keep_ids([taken])
    assert shard.id_for(taken, 1.0) != taken
    shard.close()
    await store.close()


def test_what_is_dropped_is_gone_and_an_empty_folder_goes(tmp_path: Path) -> None:
    shard = StagedShard(str(tmp_path))
    shard.note_source("/spool", "aside")
    shard.keep_ids(IDS)
    shard.add([staged(IDS[0], b"x" * 100_000)])
    shard.drop([IDS[0]])
    assert broken_off(str(tmp_path)) == ("/spool", "aside")
    assert shard.activate() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["numbers.aside", "numbers.lock"]


def test_only_one_import_runs(tmp_path: Path) -> None:
    shard = StagedShard(str(tmp_path))
    with pytest.raises(ImportRunning):
        StagedShard(str(tmp_path))
    shard.close()
    StagedShard(str(tmp_path)).close()


def test_blocks_without_mail_can_be_had_again(tmp_path: Path) -> None:
    source = NumberSource(str(tmp_path / "numbers"))
    assert source.set_aside({5, 6}, set()) == {5, 6}
    assert source.set_aside({5, 6}, {5}) == {6}
    assert (tmp_path / "numbers.aside").read_text() == "5\n6\n"
