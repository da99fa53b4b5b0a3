"""The listening sockets of the master, over generations with more and fewer processes."""

import socket
from collections.abc import Iterator

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.host.users import own_identity
from posthouse.service.bound_sockets import BindFailed, BoundSockets
from posthouse.service.generation import Generation, MasterSettings
from posthouse.service.listeners import Endpoint, Listener


class FakeSystem:
    """Gives out sockets, and refuses some ports."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self.claimed: list[int] = []
        self.given: list[tuple[int, socket.socket]] = []

    def claim(self, endpoint: Endpoint) -> None:
        self.claimed.append(endpoint.port)

    def bind(self, endpoint: Endpoint) -> socket.socket:
        if endpoint.port in self.taken:
            raise OSError(98, "Address already in use")
        made = socket.socket()
        self.given.append((endpoint.port, made))
        return made

    def open(self) -> list[int]:
        """The ports that are open, one for each socket."""
        return [port for port, made in self.given if made.fileno() != -1]


@pytest.fixture
def system() -> Iterator[FakeSystem]:
    made = FakeSystem()
    yield made
    for _, one in made.given:
        one.close()


def generation(workers: int, *ports: int) -> Generation:
    configuration = Configuration("/nowhere", {})
    settings = read_settings(MasterSettings, configuration)
    service = Service("x", "inet", False, True, False, 0, False, None, "smtpd", (), {}, 1, 1)
    listeners = {
        Endpoint("127.0.0.1", port): ("mail", Listener(service, Endpoint("127.0.0.1", port))) for port in ports
    }
    return Generation(0, configuration, settings, (), own_identity(), {"mail": workers}, listeners)


def numbers(sockets: BoundSockets, of: Generation) -> list[int]:
    """How many sockets each process has."""
    return [len(sockets.of(of, "mail", index)) for index in range(of.roles["mail"])]


def test_each_process_has_a_socket_for_each_endpoint(system: FakeSystem) -> None:
    sockets = BoundSockets(system.claim, system.bind)
    two = generation(2, 25, 587)
    sockets.open(two)
    assert numbers(sockets, two) == [2, 2]
    assert sockets.of(two, "access", 0) == ()
    assert system.claimed == [25, 587]


def test_what_fewer_processes_leave_over_goes_to_those_that_stay(system: FakeSystem) -> None:
    sockets = BoundSockets(system.claim, system.bind)
    for wanted, expected in ((generation(3, 25), [1, 1, 1]), (generation(2, 25), [2, 1]), (generation(1, 25), [3])):
        sockets.open(wanted)
        sockets.settle(wanted)
        assert numbers(sockets, wanted) == expected
    assert system.open() == [25, 25, 25]
    assert system.claimed == [25]


def test_an_endpoint_that_is_not_wanted_closes_when_the_generation_settles(system: FakeSystem) -> None:
    sockets = BoundSockets(system.claim, system.bind)
    sockets.open(generation(1, 25, 26))
    sockets.settle(generation(1, 25, 26))
    new = generation(1, 26)
    sockets.open(new)
    assert system.open() == [25, 26]
    sockets.settle(new)
    assert system.open() == [26]


def test_a_bind_that_fails_leaves_nothing_behind(system: FakeSystem) -> None:
    sockets = BoundSockets(system.claim, system.bind)
    old = generation(1, 25)
    sockets.open(old)
    sockets.settle(old)
    system.taken = {27}
    with pytest.raises(BindFailed, match=r"bind 127\.0\.0\.1 port 27: Address already in use"):
        sockets.open(generation(2, 25, 26, 27))
    assert system.open() == [25]
    assert numbers(sockets, old) == [1]


def test_going_back_closes_what_was_opened_since(system: FakeSystem) -> None:
    sockets = BoundSockets(system.claim, system.bind)
    old = generation(1, 25)
    sockets.open(old)
    sockets.settle(old)
    sockets.open(generation(3, 25, 26))
    sockets.go_back()
    assert system.open() == [25]
    assert numbers(sockets, old) == [1]


def test_closing_closes_all(system: FakeSystem) -> None:
    sockets = BoundSockets(system.claim, system.bind)
    sockets.open(generation(2, 25, 26))
    sockets.close()
    assert system.open() == []
    assert sockets.all == ()
