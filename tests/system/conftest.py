"""The system suite needs root: real ports, real users."""

import os
from collections.abc import Iterator

import pytest

from tests.system.hosts import PASSWORDS, Story, story
from tests.system.machine import add_user, foreign_user, remove_user

USERS = ("tony", "alice")


@pytest.fixture(scope="session")
def system_users() -> Iterator[tuple[str, ...]]:
    """tony and alice, users of this machine while the session lasts."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it takes the real ports and makes users of the system")
    taken = [name for name in USERS if foreign_user(name)]
    assert not taken, f"this machine has users or homes of these names, which the story would remove: {taken}"
    try:
        for name in USERS:
            remove_user(name)
            add_user(name, PASSWORDS[name])
        yield USERS
    finally:
        for name in USERS:
            remove_user(name)


@pytest.fixture(scope="session")
def house(system_users: tuple[str, ...]) -> Iterator[Story]:
    """The three hosts of the story, running on the real ports."""
    with story() as running:
        yield running
