"""The milter protocol: what is written is read again, and any bytes give a value or MilterProtocolError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.milter import command
from posthouse.wire.milter.answer import (
    AddHeader,
    AddRecipient,
    Answer,
    ChangeFrom,
    ChangeHeader,
    DeleteRecipient,
    InsertHeader,
    Quarantine,
    ReplaceBody,
    ReplyCode,
    Word,
    parse_answer,
)
from posthouse.wire.milter.packet import PACKET_LIMIT, MilterProtocolError, PacketReader, number, packet, text

strings = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b""))
numbers = st.integers(0, 2**32 - 1)

ANSWERS: list[tuple[Answer, bytes]] = [
    (Word.CONTINUE, b"\0\0\0\x01c"),
    (Word.SHUTDOWN, b"\0\0\0\x014"),
    (ReplyCode(b"550 5.7.1 No"), b"\0\0\0\x0ey550 5.7.1 No\0"),
    (AddHeader(b"X-A", b"1"), b"\0\0\0\x07hX-A\x001\0"),
    (InsertHeader(2, b"X-A", b"1"), b"\0\0\0\x0bi\0\0\0\x02X-A\x001\0"),
    (ChangeHeader(1, b"X-A", b""), b"\0\0\0\x0am\0\0\0\x01X-A\0\0"),
    (ReplaceBody(b"a\0b"), b"\0\0\0\x04ba\0b"),
    (AddRecipient(b"<a@b>"), b"\0\0\0\x07+<a@b>\0"),
    (AddRecipient(b"<a@b>", b"NOTIFY=NEVER"), b"\0\0\0\x142<a@b>\0NOTIFY=NEVER\0"),
    (DeleteRecipient(b"<a@b>"), b"\0\0\0\x07-<a@b>\0"),
    (ChangeFrom(b"<>"), b"\0\0\0\x04e<>\0"),
    (ChangeFrom(b"<>", b"RET=HDRS"), b"\0\0\0\x0de<>\0RET=HDRS\0"),
    (Quarantine(b"why"), b"\0\0\0\x05qwhy\0"),
]


def read(data: bytes) -> tuple[bytes, bytes]:
    reader = PacketReader()
    reader.receive_data(data)
    found = reader.next_packet()
    assert found is not None
    return found


@pytest.mark.parametrize(("answer", "wire"), ANSWERS)
def test_an_answer_has_one_form(answer: Answer, wire: bytes) -> None:
    assert bytes(answer) == wire
    assert parse_answer(*read(wire)) == answer


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"cx", "reply SMFIR_CONTINUE was followed by 1 data bytes"),
        (b"Z", "unexpected filter response (unknown filter reply)"),
        (b"hX-A", "missing string null termination in input packet"),
        (b"m\0\0", "input packet too short for network long"),
        (b"q\0x", "reply SMFIR_QUARANTINE was followed by 1 data bytes"),
    ],
)
def test_a_malformed_answer_is_told_in_words(wire: bytes, why: str) -> None:
    with pytest.raises(MilterProtocolError) as error:
        parse_answer(wire[:1], wire[1:])
    assert str(error.value) == why


@pytest.mark.parametrize("length", [0, PACKET_LIMIT + 1, 0xFFFFFFFF])
def test_a_packet_has_a_reasonable_length(length: int) -> None:
    reader = PacketReader()
    reader.receive_data(number(length))
    with pytest.raises(MilterProtocolError):
        reader.next_packet()


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=30)), max_size=6), st.data())
def test_packets_hold_however_they_are_cut(packets: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    stream = b"".join(packet(*one) for one in packets)
    reader = PacketReader()
    found = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        reader.receive_data(stream[:cut])
        stream = stream[cut:]
        while (one := reader.next_packet()) is not None:
            found.append(one)
    assert found == packets


@given(st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_a_protocol_error(data: bytes) -> None:
    try:
        answer = parse_answer(data[:1], data[1:])
    except MilterProtocolError:
        return
    assert parse_answer(*read(bytes(answer))) == answer


@given(numbers, numbers, numbers, st.lists(st.tuples(numbers, strings), max_size=4).map(tuple))
def test_options_are_read_as_they_are_written(
    version: int, actions: int, protocol: int, macros: tuple[tuple[int, bytes], ...]
) -> None:
    options = command.Options(version, actions, protocol, macros)
    assert command.parse_options(read(bytes(options))[1]) == options


@given(strings, st.sampled_from([b"4", b"6", b"L"]), st.integers(0, 65535), strings)
def test_a_peer_is_read_as_it_is_written(name: bytes, family: bytes, port: int, address: bytes) -> None:
    peer = command.Peer(name, family, port, address)
    assert command.parse_peer(read(bytes(peer))[1]) == peer


def test_an_unknown_peer_has_no_address() -> None:
    assert bytes(command.Peer(b"x", b"U")) == b"\0\0\0\x04Cx\0U"
    assert command.parse_peer(b"x\0U") == command.Peer(b"x", b"U")


@given(st.lists(st.tuples(strings, strings), max_size=4).map(tuple))
def test_macros_are_read_as_they_are_written(pairs: tuple[tuple[bytes, bytes], ...]) -> None:
    assert command.parse_macros(read(command.macros(b"M", pairs))[1]) == (b"M", pairs)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_command_or_a_protocol_error(data: bytes) -> None:
    for parse in (command.parse_options, command.parse_peer, command.parse_macros):
        try:
            parse(data)
        except MilterProtocolError:
            continue


def test_strings_end_at_their_first_nul() -> None:
    assert text(b"a\0b", b"") == b"a\0\0"
