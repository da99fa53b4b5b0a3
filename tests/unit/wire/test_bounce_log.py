from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.outcome import Dsn
from posthouse.wire.bounce_log import LoggedOutcome, parse_bounce_log
from posthouse.wire.xtext import encode_orcpt, encode_xtext

LOG = b"""
<a@dead.test>: connect to dead.test: Connection refused
recipient=a@dead.test
original_recipient=all@alias.test
offset=914
dsn_orig_rcpt=rfc822;orig@o.test
notify_flags=4
status=4.4.1
action=delayed
reason=connect to dead.test: Connection refused


<c@late.test>: host late.test said: 450 4.2.0 a=b
recipient=c@late.test
status=4.2.0
action=delayed
diag_type=smtp
diag_text=450 4.2.0 a=b
mta_type=dns
mta_mname=late.test
reason=host late.test said: 450 4.2.0 a=b
"""


def test_each_block_is_a_recipient() -> None:
    assert list(parse_bounce_log(LOG)) == [
        LoggedOutcome("a@dead.test", 914, Dsn("4.4.1", "connect to dead.test: Connection refused", "delayed")),
        LoggedOutcome(
            "c@late.test",
            -1,
            Dsn("4.2.0", "host late.test said: 450 4.2.0 a=b", "delayed", "smtp", "450 4.2.0 a=b", "dns", "late.test"),
        ),
    ]


@given(st.binary(max_size=300), st.integers(0, len(LOG)))
def test_any_bytes_are_a_log(data: bytes, cut: int) -> None:
    for _ in parse_bounce_log(LOG[:cut] + data):
        pass


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_xtext_says_the_same(text: str) -> None:
    encoded = encode_xtext(text)
    assert encoded.isascii()
    assert not set(encoded) & set("= \x7f")
    parts = encoded.split("+")
    raw = parts[0].encode() + b"".join(bytes([int(part[:2], 16)]) + part[2:].encode() for part in parts[1:])
    assert raw.decode() == text


def test_the_type_of_an_original_recipient_stays() -> None:
    assert encode_orcpt('rfc822;"quoted local"@x.test') == 'rfc822;"quoted+20local"@x.test'
