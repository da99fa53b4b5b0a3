"""The system's name service behind its pool."""

import socket

import pytest

from posthouse.dns.native import NativeLookup
from posthouse.dns.resolver import DnsRetry


async def test_an_answer_is_used_again_for_a_while() -> None:
    asked: list[str] = []
    now = [0.0]

    def look_up(name: str, family: int) -> tuple[str, ...]:
        asked.append(name)
        return ("192.0.2.1",)

    native = NativeLookup(look_up, lambda: now[0])
    assert await native.addresses("a.example") == ("192.0.2.1",)
    assert await native.addresses("A.example") == ("192.0.2.1",)
    assert asked == ["a.example"]
    now[0] += 31
    await native.addresses("a.example")
    assert len(asked) == 2
    native.close()


async def test_not_found_and_not_now_differ() -> None:
    def look_up(name: str, family: int) -> tuple[str, ...]:
        if name == "again":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    native = NativeLookup(look_up)
    assert await native.addresses("none") == ()
    with pytest.raises(DnsRetry, match="unable to look up host again: Temporary failure"):
        await native.addresses("again")
    native.close()


async def test_localhost_is_known_to_the_system() -> None:
    native = NativeLookup()
    assert "127.0.0.1" in await native.addresses("localhost", socket.AF_INET)
    native.close()
