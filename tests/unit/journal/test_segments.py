# ruff: noqa: ASYNC240
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.verdict import Evidence
from posthouse.journal import segments
from posthouse.journal.index import index_path
from posthouse.journal.journal import Entry
from posthouse.journal.read import format_entry, trace
from posthouse.journal.record import EVIDENCE_DROPPED, pack_entry, records, unpack_entry
from posthouse.journal.segments import JournalSettings, SegmentJournal, segment_names

texts = st.text(max_size=20)
entries = st.builds(
    Entry,
    st.floats(0, 4e9),
    texts,
    texts,
    texts,
    texts,
    texts,
    texts,
    texts,
    st.lists(st.builds(Evidence, texts, texts, texts, texts), max_size=3).map(tuple),
)


@given(st.lists(entries, max_size=5))
def test_records_come_back_as_they_were(some: list[Entry]) -> None:
    assert [entry for _, entry in records(b"".join(map(pack_entry, some)), 0)] == some


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_nothing(data: bytes) -> None:
    unpack_entry(data)
    list(records(data, 0))


def test_a_record_cut_short_ends_the_segment() -> None:
    data = pack_entry(Entry(1.0, "queued")) + pack_entry(Entry(2.0, "removed"))
    assert [entry.step for _, entry in records(data[:-1], 0)] == ["queued"]


def test_undecodable_bytes_become_question_marks() -> None:
    data = pack_entry(Entry(1.0, "queued", sender="a\udcff@x"))
    assert next(records(data, 0))[1].sender == "a?@x"


async def test_a_trace_by_address_tells_the_whole_message(tmp_path: Path) -> None:
    folder = str(tmp_path / "journal")
    journal = SegmentJournal(folder, JournalSettings())
    journal.record(Entry(1.0, "connect", session="s1", verdict="client=unknown[192.0.2.1]"))
    journal.record(Entry(2.0, "queued", "0123456789", "m@x", "s1", "s@example.com"))
    journal.record(Entry(3.0, "delivered", "0123456789", "m@x", "", "s@example.com", "A@example.net", "status=sent"))
    journal.record(Entry(4.0, "removed", "0123456789"))
    journal.record(Entry(5.0, "removed", "FFFFFFFFFF"))
    journal.flush()
    unindexed = trace(folder, "a@EXAMPLE.net")
    assert [entry.step for entry in trace(folder, "<m@x>")] == ["connect", "queued", "delivered", "removed"]
    await journal.close()
    (segment,) = segment_names(folder)
    assert os.path.exists(index_path(os.path.join(folder, segment)))
    assert trace(folder, "a@example.net") == unindexed
    assert [entry.step for entry in unindexed] == ["queued", "delivered", "removed"]
    assert [entry.step for entry in trace(folder, "0123456789")] == ["connect", "queued", "delivered", "removed"]


async def test_segments_past_their_size_are_unlinked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SIZE", 1000)
    journal = SegmentJournal(str(tmp_path), JournalSettings(posthouse_journal_size=3000))
    for number in range(100):
        journal.record(Entry(float(number), "queued", verdict="x" * 100))
        journal.flush()
    await journal.close()
    assert sum(path.stat().st_size for path in tmp_path.glob("*.segment")) <= 3000


def test_when_nothing_can_be_written_evidence_goes_first_and_losses_are_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(segments, "FLUSH_SIZE", 1 << 30)
    monkeypatch.setattr(segments, "DROP_EVIDENCE_AT", 300)
    monkeypatch.setattr(segments, "DROP_ENTRIES_AT", 600)
    folder = tmp_path / "journal"
    folder.write_text("no folder")
    journal = SegmentJournal(str(folder), JournalSettings())
    for _ in range(20):
        journal.record(Entry(1.0, "queued", "0123456789", evidence=(Evidence("p" * 100),)))
    journal.flush()
    folder.unlink()
    journal.flush()
    (segment,) = folder.glob("*.segment")
    found = [entry for _, entry in records(segment.read_bytes())]
    assert found[0].evidence == (Evidence("p" * 100),)
    assert found[-2].evidence == EVIDENCE_DROPPED
    assert found[-1].step == "lost"


def test_an_entry_is_told_with_its_reasons() -> None:
    entry = Entry(
        0.5,
        "refused",
        session="s1",
        recipient="r@x",
        verdict="reject: 554",
        evidence=(Evidence("p", "main.cf:3", "reject", "no"),),
    )
    assert format_entry(entry).endswith("to=<r@x> reject: 554\n    because p (main.cf:3): reject: no")
