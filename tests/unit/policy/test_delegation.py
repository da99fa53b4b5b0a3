"""check_policy_service, against a server in memory."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.policy.delegation import AnswerError, PolicyServer, parse_answer, parse_server
from posthouse.policy.settings import DelegationSettings

NAMES = [
    "request",
    "protocol_state",
    "protocol_name",
    "client_address",
    "client_name",
    "client_port",
    "reverse_client_name",
    "server_address",
    "server_port",
    "helo_name",
    "sender",
    "recipient",
    "recipient_count",
    "queue_id",
    "instance",
    "size",
    "etrn_domain",
    "stress",
    "sasl_method",
    "sasl_username",
    "sasl_sender",
    "ccert_subject",
    "ccert_issuer",
    "ccert_fingerprint",
    "ccert_pubkey_fingerprint",
    "encryption_protocol",
    "encryption_cipher",
    "encryption_keysize",
    "policy_context",
]


class Server:
    """Streams whose peer answers each request; None: it hangs up."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0

    async def __call__(self, server: PolicyServer) -> "Peer":
        self.connections += 1
        return Peer(self)


class Peer:
    def __init__(self, server: Server) -> None:
        self.server = server

    def write(self, data: bytes) -> None:
        self.server.requests.append(data)

    async def read(self, timeout: float) -> bytes:
        return self.server.answers.pop(0) or b""

    def close(self) -> None: ...

    def abort(self) -> None: ...


def settings() -> DelegationSettings:
    return read_settings(DelegationSettings, Configuration("/nonexistent", {}))


def asking(house: Callable[..., Any], server: Server, word: str = "inet:127.0.0.1:10023") -> Any:
    async def sleep(seconds: float) -> None: ...

    return house(open_stream=server, sleep=sleep, smtpd_recipient_restrictions=f"check_policy_service {word}")


async def test_the_attributes_come_in_postfixs_order(house: Any) -> None:
    server = Server(b"action=DUNNO\n\n")
    one = asking(house, server)
    assert await one.send() == "ok"
    lines = server.requests[0].decode().split("\n")
    assert [line.partition("=")[0] for line in lines] == [*NAMES, "", ""]
    values = dict(line.partition("=")[::2] for line in lines if line)
    assert (values["protocol_state"], values["sender"], values["recipient"], values["client_port"]) == (
        "RCPT",
        "a@good.example",
        "joe@example.com",
        "4711",
    )


async def test_the_action_is_an_access_action_and_the_connection_is_kept(house: Any) -> None:
    server = Server(b"action=", b"DEFER_IF_PERMIT wait\n\n", b"action=550 no\n\n")
    one = asking(house, server)
    assert await one.send() == "450 4.7.1 <joe@example.com>: Recipient address rejected: wait"
    assert await one.send() == "550 5.7.1 <joe@example.com>: Recipient address rejected: no"
    assert server.connections == 1


async def test_a_kept_connection_that_was_closed_is_replaced_without_a_word(house: Any) -> None:
    server = Server(b"action=DUNNO\n\n", None, b"action=DUNNO\n\n")
    one = asking(house, server)
    assert [await one.send(), await one.send()] == ["ok", "ok"]
    assert (server.connections, one.warnings) == (2, [])


async def test_a_server_that_does_not_answer_means_the_default_action(house: Any) -> None:
    one = asking(house, Server(None, None))
    assert await one.send() == ("451 4.3.5 <joe@example.com>: Recipient address rejected: Server configuration problem")
    assert one.warnings[0] == "problem talking to server 127.0.0.1:10023: lost connection"
    lenient = asking(house, Server(None), "{ inet:127.0.0.1:10023, try_limit=1, default_action = DUNNO }")
    assert await lenient.send() == "ok"


def test_settings_in_braces_override() -> None:
    server = parse_server(
        "{ unix:private/policy, timeout = 10s, try_limit=1, { default_action = 450 wait } }", settings()
    )
    assert (server.endpoint, server.timeout, server.try_limit, server.default_action) == (
        "unix:private/policy",
        10,
        1,
        "450 wait",
    )


@pytest.mark.parametrize(
    "text", ["10023", "inet:", "inet:host", "{ }", "{ inet:h:1, nonsense=1 }", "{ inet:h:1, try_limit=x }"]
)
def test_a_bad_server_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_server(text, settings())


@given(st.binary(max_size=100))
def test_any_answer_gives_an_action_or_an_answer_error(data: bytes) -> None:
    try:
        parse_answer(data)
    except AnswerError:
        pass


async def test_a_server_on_a_socket_is_asked(house: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\n\n")
        writer.write(b"action=REJECT 5.7.1 said the server\n\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    one = house(smtpd_recipient_restrictions=f"check_policy_service inet:127.0.0.1:{port}")
    assert await one.send() == "554 5.7.1 <joe@example.com>: Recipient address rejected: said the server"
    one.stages.close()
    server.close()
    await server.wait_closed()
