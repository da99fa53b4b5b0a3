"""What the machine says: interfaces, users, becoming one of them."""

import os
import pwd
import socket

import pytest

from posthouse.host.interfaces import interface_addresses
from posthouse.host.users import Identity, become, own_identity, user_identity


def test_the_loopback_interface_carries_one_address_and_not_its_whole_network() -> None:
    found = interface_addresses()
    loopback = {entry.address for entry in found if entry.loopback and ":" not in entry.address}
    assert "127.0.0.1" in loopback
    assert "127.0.0.3" not in loopback
    (entry,) = [entry for entry in found if entry.address == "127.0.0.1"]
    assert entry.prefix_length == 8


def test_every_address_is_one_that_can_be_bound() -> None:
    for entry in interface_addresses():
        if ":" not in entry.address:
            with socket.socket() as sock:
                sock.bind((entry.address, 0))


def test_an_identity_has_the_users_groups() -> None:
    nobody = pwd.getpwnam("nobody")
    found = user_identity("nobody")
    assert (found.uid, found.gid) == (nobody.pw_uid, nobody.pw_gid)
    assert nobody.pw_gid in found.groups
    with pytest.raises(KeyError):
        user_identity("no-such-user")


def in_child(identity: Identity) -> str:
    """What a process is after become(identity)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become(identity)
            said = f"{os.getresuid()} {os.getresgid()} {os.getgroups()}"
        except (PermissionError, AssertionError) as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as file:
        return file.read()


def test_root_becomes_another_for_good() -> None:
    if os.geteuid() != 0:
        assert in_child(Identity(4001, 4002)) == "PermissionError: only root can become uid 4001"
    else:
        assert in_child(Identity(4001, 4002, (4003,))) == "(4001, 4001, 4001) (4002, 4002, 4002) [4003]"


def test_ourselves_we_are_already() -> None:
    mine = own_identity()
    if mine.uid != 0:
        assert in_child(mine).startswith(f"({mine.uid}")
