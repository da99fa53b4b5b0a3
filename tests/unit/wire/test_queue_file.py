import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.envelope import LOCAL_CLIENT, Notify, Recipient, Trace
from posthouse.wire.queue_file import DamagedQueueFile, QueueFile, content_pieces, parse_queue_file, submission_of
from tests.queue_files import drop_file, queue_file, record

TEXT = b"Subject: t\r\n\r\nbody\r\n"
LINES = st.lists(st.binary(max_size=5000).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")), max_size=20)


def read(data: bytes) -> tuple[QueueFile, bytes]:
    file = parse_queue_file(data)
    return file, b"".join(content_pieces(data, file))


@given(LINES, st.lists(st.sampled_from(("a@x.test", "b@x.test", "ü@x.test")), min_size=1, unique=True))
def test_what_is_written_is_read(lines: list[bytes], recipients: list[str]) -> None:
    text = b"".join(line + b"\r\n" for line in lines)
    file, content = read(queue_file(text, recipients=tuple(recipients)))
    assert content == text
    assert [one.recipient.address for one in file.recipients] == recipients
    assert (file.sender, file.queued, file.arrival_time) == ("s@x.test", True, 1795505891.836512)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_file_or_damaged(data: bytes) -> None:
    for head in (b"", b"C\0", b"T\x011"):
        try:
            read(head + data)
        except DamagedQueueFile:
            pass


@given(st.data())
def test_a_file_with_bytes_changed_or_cut_is_a_file_or_damaged(data: Any) -> None:
    whole = bytearray(queue_file(TEXT, recipients=("a@x.test", "b@x.test"), extra=(record("p", "    0"),)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        read(cut)
    except DamagedQueueFile:
        pass


def test_every_cut_of_a_file_is_damaged() -> None:
    whole = queue_file(TEXT)
    for end in range(len(whole)):
        with pytest.raises(DamagedQueueFile):
            parse_queue_file(whole[:end])


def edited(instead: list[bytes]) -> bytes:
    """A file whose first field was replaced: cleanup appends, and leads there and back."""
    whole = queue_file(b"Subject: a long enough line\r\nX: y\r\n\r\nbody\r\n")
    start = whole.index(b"N\x1cSubject") if b"N\x1cSubject" in whole else whole.index(b"Subject: a") - 2
    behind = start + 17
    old_end = start + 2 + len(b"Subject: a long enough line")
    there = record("p", f"{len(whole):>15}")
    patched = (
        whole[:start] + there + b"w" + bytes([old_end - behind - 2]) + whole[behind + 2 : old_end] + whole[old_end:]
    )
    return patched + b"".join(instead) + record("p", f"{behind:>15}")


def test_what_an_edit_put_elsewhere_is_read_in_its_place() -> None:
    file, content = read(edited([record("N", "Subject: new"), record("N", "Added: too")]))
    assert content == b"Subject: new\r\nAdded: too\r\nX: y\r\n\r\nbody\r\n"
    assert len(file.recipients) == 1


@pytest.mark.parametrize("target", ["0000000000000001", "999999999", "-1", "x", "1" * 30])
def test_a_pointer_that_leads_nowhere_is_damage(target: str) -> None:
    with pytest.raises(DamagedQueueFile):
        parse_queue_file(queue_file(TEXT, extra=(record("p", target),)))


def test_pointers_in_a_circle_are_damage_and_cost_no_time() -> None:
    data = queue_file(TEXT)
    at = data.index(b"M\0")
    with pytest.raises(DamagedQueueFile, match="circle"):
        parse_queue_file(data[:at] + record("p", f"{97:>15}") + data[at:])


def test_a_large_file_takes_time_in_proportion() -> None:
    def cost(lines: int) -> float:
        data = queue_file(b"0123456789012345678901234567890123456789\r\n" * lines)
        begun = time.process_time()
        read(data)
        return time.process_time() - begun

    cost(1000)
    assert cost(40_000) < 40 * max(cost(4_000), 0.004)


def test_done_recipients_are_told_and_taken_away_ones_are_not() -> None:
    extra = (record("O", "gone@x.test"), record("/", "gone@x.test"))
    file, _ = read(queue_file(TEXT, recipients=("b@x.test",), done=("a@x.test",), extra=extra))
    assert [(one.recipient.address, one.done) for one in file.recipients] == [("a@x.test", True), ("b@x.test", False)]
    assert file.recipients[1].recipient == Recipient("b@x.test", "b@x.test", Notify.NONE, "rfc822;b@x.test")


def test_wishes_are_those_of_the_recipient_behind_them() -> None:
    extra = (
        record("A", "notify_flags=6"),
        record("A", "dsn_orig_rcpt=rfc822;or ig+x@o.test"),
        record("R", "first@x.test"),
        record("A", "notify_flags=1"),
        record("R", "never@x.test"),
    )
    file, _ = read(queue_file(TEXT, extra=extra))
    assert [one.recipient for one in file.recipients[:2]] == [
        Recipient("first@x.test", "", Notify.SUCCESS | Notify.FAILURE, "rfc822;or+20ig+2Bx@o.test"),
        Recipient("never@x.test", "", Notify.NEVER),
    ]


ATTRIBUTES = (
    ("log_client_name", "origin.test"),
    ("log_client_address", "192.0.2.4"),
    ("log_client_port", "99"),
    ("log_helo_name", "h.test"),
    ("log_protocol_name", "ESMTP"),
    ("client_name", "unknown"),
    ("client_address", "127.0.0.1"),
    ("reverse_client_name", "proxy.test"),
    ("helo_name", "c"),
    ("protocol_name", "SMTP"),
    ("sasl_username", "joe"),
)


def test_the_client_is_whom_xforward_told() -> None:
    extra = tuple(record("A", f"{name}={value}") for name, value in ATTRIBUTES)
    client = read(queue_file(TEXT, extra=extra))[0].client
    assert (client.name, client.address, client.port, client.helo, client.protocol) == (
        "origin.test",
        "192.0.2.4",
        "99",
        "h.test",
        "ESMTP",
    )
    assert (client.reverse_name, client.sasl_username) == ("proxy.test", "joe")
    assert read(queue_file(TEXT))[0].client == LOCAL_CLIENT


@pytest.mark.parametrize(
    ("records", "name", "value"),
    [
        ((record("A", "encoding=8bit"),), "body", "8BITMIME"),
        ((record("A", "ret_flags=2"),), "ret", "HDRS"),
        ((record("A", "envelope_id=env+id"),), "envid", "env+2Bid"),
        ((record("A", "rewrite_context=remote"),), "local_rewrite", False),
        ((record("V", "+="),), "verp", "+="),
        ((record("F", "Full Name"),), "full_name", "Full Name"),
        ((record("L", "smtp:[127.0.0.1]"),), "content_filter", "smtp:[127.0.0.1]"),
        ((record(">", "other@x.test"),), "redirect", "other@x.test"),
        ((record("W", "     1795509491"),), "delay_warned", False),
        ((record("W", "             -1"),), "delay_warned", True),
        ((record("A", "trace_flags=256"),), "probe", True),
        ((record("A", "trace_flags=512"),), "trace", Trace.VERIFY),
        ((record("A", "trace_flags=1024"),), "trace", Trace.RECORD),
        ((record("K", "trace_flags=1024"),), "trace", Trace.NONE),
        ((record("A", "trace_flags=x"),), "trace", Trace.NONE),
    ],
)
def test_each_record_says_its_part(records: tuple[bytes, ...], name: str, value: object) -> None:
    assert getattr(read(queue_file(TEXT, extra=records))[0], name) == value


def test_what_was_found_in_the_content_counts_more() -> None:
    file, _ = read(queue_file(TEXT, extra=(record("A", "encoding=7bit"),), found=record("A", "encoding=8bit")))
    assert file.body == "8BITMIME"


def test_smtputf8_is_in_the_first_record() -> None:
    assert read(queue_file(TEXT, smtputf8=7))[0].smtputf8
    assert not read(queue_file(TEXT))[0].smtputf8


def test_a_file_of_the_maildrop_is_a_submission() -> None:
    file, content = read(drop_file(TEXT, recipients=("bob", "eve@x.test")))
    submission = submission_of(file)
    assert (submission.sender, submission.full_name, content) == ("joe", "Joe Full", TEXT)
    assert [recipient.address for recipient in submission.recipients] == ["bob", "eve@x.test"]
    assert not file.queued
