"""PLAIN and LOGIN, both sides."""

from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.sasl import (
    PASSWORD_PROMPT,
    SERVERS,
    USERNAME_PROMPT,
    Credentials,
    LoginServer,
    PlainServer,
    decode_base64,
    encode_base64,
    parse_plain,
    plain_message,
)

name = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(name, name, st.one_of(st.just(""), name))
def test_plain_goes_both_ways(login: str, password: str, acting_for: str) -> None:
    assert parse_plain(plain_message(login, password, acting_for)) == Credentials(login, password, acting_for)


def test_plain_with_another_number_of_parts_is_none() -> None:
    for data in (b"", b"a\0b", b"\0a\0b\0c", b"\0\0b", b"\0\xff\0b"):
        assert parse_plain(data) is None


def test_base64_is_strict() -> None:
    assert decode_base64("=") == b""
    assert decode_base64("AGpvZQBnb29k") == b"\0joe\0good"
    for text in ("!!!", "AGp", "é", "AGpvZQBnb29k=", "AG pv"):
        assert decode_base64(text) is None


@given(st.binary(max_size=100))
def test_base64_goes_both_ways(data: bytes) -> None:
    assert decode_base64(encode_base64(data) or "=") == data


def test_plain_asks_once_and_takes_an_initial_response() -> None:
    server = PlainServer()
    assert server.step(None) == ""
    assert server.step(b"\0joe\0good") is None
    assert server.credentials == Credentials("joe", "good")


def test_login_asks_for_name_and_password() -> None:
    server = LoginServer()
    assert decode_base64(server.step(None) or "") == b"Username:"
    assert server.step(b"joe") == PASSWORD_PROMPT
    assert server.step(b"good") is None
    assert server.credentials == Credentials("joe", "good")
    assert USERNAME_PROMPT != PASSWORD_PROMPT


@given(st.sampled_from(sorted(SERVERS)), st.lists(st.binary(max_size=40), min_size=2, max_size=2))
def test_any_responses_give_credentials_or_none(mechanism: str, responses: list[bytes]) -> None:
    server = SERVERS[mechanism]()
    challenge = server.step(None)
    for response in responses:
        if challenge is None:
            break
        challenge = server.step(response)
    assert server.credentials is None or server.credentials.login
