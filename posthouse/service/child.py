"""A child of the master: what it is given at birth, and how the master sees it.

Children are forked, not executed: open sockets, the log and the configuration come along.
"""

import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.host.users import Identity
from posthouse.net.ticket_secret import TicketSecret
from posthouse.service.channel import FATAL, Channel
from posthouse.service.listeners import Listener


@dataclass(frozen=True, slots=True)
class Inheritance:
    """All that a child gets from the master."""

    role: str
    """"mail", "access" or "keeper"."""
    index: int
    """Which of the workers of this role, from 0."""
    count: int
    """How many workers this role has."""
    configuration: Configuration
    services: tuple[Service, ...]
    """All of master.cf."""
    sockets: tuple[tuple[Listener, socket.socket], ...]
    """This child's own listening sockets."""
    identity: Identity
    """mail_owner, or who started us without root."""
    log_descriptor: int | None
    channel: Channel
    generation: int = 0
    intake_socket: socket.socket | None = None
    """queue_directory/posthouse/intake (mail workers)."""
    mailbox_socket: socket.socket | None = None
    """queue_directory/posthouse/mailbox (access workers)."""
    control_socket: socket.socket | None = None
    """queue_directory/posthouse/control.N (a mail worker's own)."""
    keeper_socket: socket.socket | None = None
    """Where the keeper is asked (the keeper itself)."""
    ticket_secret: TicketSecret | None = None
    """What the keys of TLS session tickets come from (mail and access workers)."""


@dataclass(slots=True)
class Child:
    """The master's side of a child."""

    pid: int
    role: str
    index: int
    generation: int
    channel: Channel
    started: float
    ready: bool = False
    retiring: bool = False
    left: bool = False
    """Whether it has said that it accepts no more."""
    control: str = ""
    """The name of its control socket."""


def spawn(
    inheritance: Inheritance,
    main: Callable[[Inheritance], int],
    close: Sequence[Channel],
    own: Sequence[socket.socket | selectors.BaseSelector],
    locks: Sequence[int],
    ours: Channel,
    now: float,
) -> Child:
    """Fork a child that runs main(inheritance) and exits with what it returns.

    `close` are the master's ends of its brothers' channels, `own` all that the master has bound and what wakes it, of
    which a child keeps its listeners only (a child that could wake the master could stop it), `locks` the descriptors
    whose locks are the master's alone: a child that kept one would keep the next master from starting.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        inheritance.channel.close()
        return Child(pid, inheritance.role, inheritance.index, inheritance.generation, ours, now)
    status = 1
    try:
        gc.freeze()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        ours.close()
        for channel in close:
            channel.close()
        kept = {id(bound) for _, bound in inheritance.sockets}
        kept |= {id(inheritance.intake_socket), id(inheritance.mailbox_socket)}
        kept |= {id(inheritance.control_socket), id(inheritance.keeper_socket)}
        for one in own:
            if id(one) not in kept:
                one.close()
        for lock in locks:
            os.close(lock)
        status = main(inheritance)
    except BaseException as error:  # the last line of a process: said to the master, never swallowed
        inheritance.channel.send(FATAL + f"{type(error).__name__}: {error}".encode("utf-8", "replace"))
        traceback.print_exc()
    finally:
        os._exit(status)
