"""What workers ask of the keeper: any bytes are a request or none, and nothing raises."""

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.outcome import Dsn, Fate
from posthouse.service import keeper_wire as wire
from posthouse.transport.hands import Errand, Report, Result

TEXT = st.text(max_size=20)
# Lone surrogates too: bytes of an address that are no UTF-8.
ERRANDS = st.builds(
    Errand,
    operation=st.sampled_from(["user", "spool", "alias", "virtual", "pipe"]),
    service=TEXT,
    names=st.lists(TEXT, max_size=3).map(tuple),
    queue_id=TEXT,
    sender=TEXT,
    recipient=TEXT,
    original_recipient=TEXT,
    arrival_time=st.floats(0, 1e10),
    size=st.integers(0, 1 << 40),
)
CHECKS = st.builds(wire.PasswordCheck, login=TEXT, password=TEXT)


@given(st.one_of(ERRANDS, CHECKS))
def test_a_request_comes_back_as_it_was(request) -> None:
    assert wire.decode_request(wire.encode_request(request)) == request


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_none(data: bytes) -> None:
    assert isinstance(wire.decode_request(data), Errand | wire.PasswordCheck | wire.SessionStart | None)
    assert isinstance(wire.decode_report(data), Report | None)


@given(
    st.sampled_from([b"E", b"P", b"S"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["operation", "service", "names", "login", "password", "size", "number"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ),
)
def test_json_of_another_shape_is_no_request(letter: bytes, value: object) -> None:
    import json

    found = wire.decode_request(letter + json.dumps(value).encode())
    assert isinstance(found, Errand | wire.PasswordCheck | wire.SessionStart | None)


@given(ERRANDS, st.integers(0, 300))
def test_a_request_cut_short_is_none(errand: Errand, cut: int) -> None:
    data = wire.encode_request(errand)
    if cut < len(data):
        assert wire.decode_request(data[:cut]) is None


def test_a_report_comes_back_as_it_was() -> None:
    report = Report((Result(0, Fate.DELIVERED, Dsn("2.0.0", "delivered", "delivered to mailbox")),))
    assert wire.decode_report(wire.encode_report(report)) == report


def test_descriptors_come_along_and_no_more_than_asked() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    with ours, theirs:
        wire.send(ours, b"E{}", reader)
        data, descriptors = wire.receive(theirs, 1)
        assert (data, len(descriptors)) == (b"E{}", 1)
        os.write(writer, b"content")
        assert os.read(descriptors[0], 10) == b"content"
        ours.close()
        assert wire.receive(theirs, 1) == (b"", [])
    for descriptor in (reader, writer, *descriptors):
        os.close(descriptor)


@pytest.mark.parametrize(
    "letter", [b"", b"X", b"E", b"P[]", b"S null", b"E" + b"[" * 100_000, b"P\xff", b"E" + b"9" * 9999]
)
def test_what_is_none_is_none(letter: bytes) -> None:
    assert wire.decode_request(letter) is None


def test_a_request_larger_than_a_piece_of_the_stream_arrives_whole() -> None:
    names = tuple(f"u{number}{'a' * 900}@x.test" for number in range(50))
    errand = Errand("pipe", "list", names, "ABC", "s@x.test", names[0], "", 0.0, 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        wire.send(ours, wire.encode_request(errand))
        data, descriptors = wire.receive_request(theirs, 1)
    assert (wire.decode_request(data), descriptors) == (errand, [])
