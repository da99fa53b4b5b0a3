"""How the queue's commands reach the queue: over the owner's control socket, or the shards themselves.

Every mail worker listens on a socket of its own: queue_directory/posthouse/control, and
control.1, control.2, … when there are more. Blocking sockets; no event loop.
"""

from __future__ import annotations

import _socket as socket  # the C half: the other one makes enumerations for 7 ms, and we need a socket
import errno
import os
from collections.abc import Iterator

from posthouse.wire.control import (
    ControlProtocolError,
    ControlRequest,
    LineReader,
    encode_request,
    parse_line,
)

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any

TIMEOUT = 60.0
"""Seconds for the owner to answer, or to send more of an answer."""

ANSWER_LIMIT = 1 << 30
"""Bytes in one line of an answer: postcat gets a message in one."""


QUEUE_ID_LIMIT = 255
"""Characters in a queue id."""

ROUNDS = 3
"""How often the workers are asked when all of them end meanwhile."""


class SystemDown(Exception):
    """Nobody listens; the text is the reason of the last attempt."""


class Refused(Exception):
    """The owner says no; the text is its."""


def connect_all(queue_directory: str) -> list[socket.socket]:
    """Connections to every mail worker. Raises SystemDown when there is none."""
    folder = os.path.join(queue_directory, "posthouse")
    # Postfix leaves its sockets behind when it stops; ours go. What is said is the same.
    started = os.path.exists(os.path.join(queue_directory, "pid", "master.pid"))
    reason = os.strerror(errno.ECONNREFUSED if started else errno.ENOENT)
    try:
        names = sorted(name for name in os.listdir(folder) if _is_control(name))
    except OSError as error:
        raise SystemDown(reason if isinstance(error, FileNotFoundError) else error.strerror) from error
    connections = []
    for name in names:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(os.path.join(folder, name))
        except OSError as error:
            connection.close()
            reason = error.strerror or str(error)
            continue
        connections.append(connection)
    if not connections:
        raise SystemDown(reason)
    return connections


def _is_control(name: str) -> bool:
    number = name.removeprefix("control.")
    return name == "control" or (number != name and number.isdecimal() and number.isascii())


def ask(connection: socket.socket, request: ControlRequest) -> Iterator[dict[str, Any]]:
    """The answers to one request. Raises Refused, SystemDown when the owner goes away in the middle."""
    reader = LineReader(ANSWER_LIMIT)
    try:
        connection.sendall(encode_request(request))
        while True:
            data = connection.recv(1 << 18)
            if not data:
                raise SystemDown("connection lost")
            for line in reader.receive_data(data):
                answer = parse_line(line)
                if "end" in answer:
                    return
                if "error" in answer:
                    raise Refused(str(answer["error"]))
                yield answer
    except (OSError, ControlProtocolError) as error:
        raise SystemDown(str(error)) from error
    finally:
        connection.close()


def ask_all(queue_directory: str, request: ControlRequest) -> Iterator[dict[str, Any]]:
    """The answers of every mail worker. Raises Refused, SystemDown.

    A worker that a reload has retired may end between connecting and answering: a brother has its shards then. When
    nobody answered, those who are there now are asked.
    """
    answered = False
    for tries_left in reversed(range(ROUNDS)):
        for connection in connect_all(queue_directory):
            said = False
            try:
                for answer in ask(connection, request):
                    said = True
                    yield answer
                answered = True
            except SystemDown:
                if said or not (answered or tries_left):
                    raise
        if answered:
            return


def is_queue_id(text: str) -> bool:
    """Whether Postfix takes this for a queue id at all: it looks at the characters only."""
    return text.isalnum() and text.isascii() and len(text) <= QUEUE_ID_LIMIT


def queue_root(queue_directory: str) -> str:
    """Where the shards are."""
    return os.path.join(queue_directory, "posthouse", "queue")


def may_open(queue_directory: str) -> bool:
    """Whether the caller may work on the shards without the owner: root, or whose the queue directory is.

    Where root started the system the shards are mail_owner's, who is no superuser of the queue for that.
    """
    if os.geteuid() == 0:
        return True
    try:
        return os.stat(queue_directory).st_uid == os.geteuid() and os.path.isdir(queue_root(queue_directory))
    except OSError:
        return False
