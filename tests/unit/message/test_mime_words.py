"""Encoded words, parameters and envelopes of headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime_fields import FieldValue, languages, parse_parameters, parse_type
from posthouse.message.mime_words import decode_parameter, decode_words
from posthouse.message.structure_envelope import MessageAddress, envelope_of, parse_addresses


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?ISO-8859-1?B?R3L832U=?= from =?us-ascii?q?a_b?=", "Grüße from a b"),
        (b"=?utf-8?q?a?= \r\n =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        (b"=?utf-8*de?q?a?=", "a"),
        (b"=?no-such?q?=C3=BC?=", "ü"),
        (b"=?base64?q?abc?=", "abc"),
        (b"=?utf-8?q?=FF?=", "ÿ"),
        (b"raw \xc3\xbc", "raw ü"),
        (b"raw \xfc", "raw ü"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"a =?utf-8?q?b", "a =?utf-8?q?b"),
    ],
)
def test_encoded_words(raw: bytes, text: str) -> None:
    assert decode_words(raw) == text


@given(st.binary(max_size=200))
def test_any_octets_are_text(raw: bytes) -> None:
    decode_words(raw)
    decode_words(b"=?" + raw + b"?=")
    decode_words(b"=?utf-8?q?" + raw + b"?= =?" + raw)
    decode_parameter("name*", raw.decode("latin-1"))
    decode_parameter("name", raw.decode("latin-1"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" text/plain", ("text", "plain", ())),
        (b'Text/HTML ; Charset = "utf-8" (comment); x=y', ("text", "html", (("charset", "utf-8"), ("x", "y")))),
        (b'a/b; n="q\\"uoted; x"; m=2', ("a", "b", (("n", 'q"uoted; x'), ("m", "2")))),
        (b"a/b; n*1=two; n*0=one; n*3=lost", ("a", "b", (("n", "onetwo"),))),
        (b"a/b; n*0*=utf-8''%41; n*1=B%; n*2*=%43", ("a", "b", (("n*", "utf-8''%41B%25%43"),))),
        (b'a/b; n=unclosed "x', ("a", "b", (("n", "unclosed"),))),
        (b'a/b; n="unclosed', ("a", "b", (("n", "unclosed"),))),
        (b"a/b; n=one; n=two", ("a", "b", (("n", "one"),))),
        (b"a", None),
        (b"/b", None),
        (b"", None),
    ],
)
def test_content_types(value: bytes, expected: object) -> None:
    assert parse_type(value) == expected


def test_a_parameter_in_pieces_is_decoded() -> None:
    (pair,) = parse_parameters(FieldValue(b"attachment; filename*0*=utf-8'de'%C3%BC; filename*1=.txt"))
    assert decode_parameter(*pair) == "ü.txt"


def test_languages_are_tags() -> None:
    assert languages(b" de, en-GB (x)") == ("de", "en-GB")


@given(st.binary(max_size=200))
def test_any_octets_are_a_type_or_none(value: bytes) -> None:
    parse_type(value)
    parse_type(b"a/b;" + value)
    languages(value)


A = MessageAddress


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@x", (A(None, None, b"a", b"x"),)),
        (b"Alice <a@x>, b@y", (A(b"Alice", None, b"a", b"x"), A(None, None, b"b", b"y"))),
        (b'"Last, First" <a@x>', (A(b"Last, First", None, b"a", b"x"),)),
        (b"a@x (Alice (nested))", (A(b"Alice (nested)", None, b"a", b"x"),)),
        (b"<@r1,@r2:a@x>", (A(None, b"@r1,@r2", b"a", b"x"),)),
        (b'"a b"@x', (A(None, None, b"a b", b"x"),)),
        (b"=?utf-8?q?A?= <a@x>", (A(b"=?utf-8?q?A?=", None, b"a", b"x"),)),
        (
            b"Team: a@x, B <b@y>;, c@z",
            (
                A(None, None, b"Team", None),
                A(None, None, b"a", b"x"),
                A(b"B", None, b"b", b"y"),
                A(None, None, None, None),
                A(None, None, b"c", b"z"),
            ),
        ),
        (b"undisclosed-recipients:;", (A(None, None, b"undisclosed-recipients", None), A(None, None, None, None))),
        (b"root", (A(None, None, b"root", b""),)),
        (b"", ()),
        (b" , ,", ()),
        (b"J. R. Tolkien <j.r@x.y>", (A(b"J. R. Tolkien", None, b"j.r", b"x.y"),)),
    ],
)
def test_addresses(value: bytes, expected: object) -> None:
    assert parse_addresses(value) == expected


def test_an_envelope_is_raw_and_unfolded() -> None:
    envelope = envelope_of(
        b"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nsubject: =?utf-8?q?a?=\r\n b\r\nFrom: a@x\r\nReply-To: \r\n"
        b"To: b@y\r\nTo: c@z\r\nMessage-ID: <1@x>\r\nX-Subject: no\r\n\r\n"
    )
    assert envelope.subject == b"=?utf-8?q?a?= b"
    assert envelope.sender == envelope.reply_to == envelope.from_ == (A(None, None, b"a", b"x"),)
    assert [each.local_part for each in envelope.to] == [b"b", b"c"]
    assert (envelope.cc, envelope.in_reply_to, envelope.message_id) == ((), None, b"<1@x>")


@given(st.one_of(st.binary(max_size=200), st.text('<>@,:;"()\\ab. \r\n', max_size=60).map(str.encode)))
def test_any_octets_are_an_envelope(value: bytes) -> None:
    parse_addresses(value)
    envelope_of(b"From: " + value)
    envelope_of(value)
