"""What a child of the master is born with."""

import os
import selectors
import socket

from posthouse.config.configuration import Configuration
from posthouse.host.users import own_identity
from posthouse.service.channel import Channel
from posthouse.service.child import Inheritance, spawn


def _gone(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def test_a_child_keeps_nothing_that_speaks_for_the_master() -> None:
    """Whoever could write to the socket that wakes the master could have it stop."""
    ours, theirs = Channel.pair()
    wake_in, wake_out = socket.socketpair()
    selector = selectors.DefaultSelector()
    selector.register(wake_in, selectors.EVENT_READ)
    assert isinstance(selector, selectors.EpollSelector)
    numbers = [wake_in.fileno(), wake_out.fileno(), selector.fileno()]
    inheritance = Inheritance("mail", 0, 1, Configuration("/nowhere", {}), (), (), own_identity(), None, theirs)
    child = spawn(
        inheritance, lambda _: 0 if all(map(_gone, numbers)) else 1, [], [wake_in, wake_out, selector], [], ours, 0.0
    )
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == 0
    finally:
        for open_one in (wake_in, wake_out, selector, ours):
            open_one.close()
