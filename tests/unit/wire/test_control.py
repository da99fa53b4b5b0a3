import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.control import (
    VERBS,
    ControlProtocolError,
    ControlRequest,
    LineReader,
    encode_request,
    parse_line,
    parse_request,
)

requests = st.builds(
    ControlRequest,
    st.sampled_from(sorted(VERBS)),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
    st.text(max_size=5),
)


@given(requests)
def test_a_request_comes_back_as_it_was(request: ControlRequest) -> None:
    line = encode_request(request)
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert parse_request(line[:-1]) == request


@given(st.binary(max_size=80))
def test_any_bytes_are_a_request_or_a_protocol_error(data: bytes) -> None:
    for parse in (parse_request, parse_line):
        try:
            parse(data)
        except ControlProtocolError:
            pass


@given(st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\n", b"")), max_size=5), st.integers(1, 5))
def test_lines_come_whole_however_they_are_cut(lines: list[bytes], cut: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    reader = LineReader()
    found = []
    for at in range(0, len(data), cut):
        found += reader.receive_data(data[at : at + cut])
    assert found == lines


@pytest.mark.parametrize("data", [b"x" * 101, b"x" * 101 + b"\n", b"a\n" + b"x" * 101])
def test_a_long_line_is_refused(data: bytes) -> None:
    with pytest.raises(ControlProtocolError):
        LineReader(100).receive_data(data)
