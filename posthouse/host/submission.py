"""Handing a message to the running house over its intake socket, without an event loop.

The socket is queue_directory/posthouse/intake. The reply comes after the commit: what was
Taken is durable. Nobody there (ABSENT) means the caller leaves it in the maildrop.
"""

import _socket as socket  # the C half: the other one makes enumerations for 3 ms more
import os
from collections.abc import Iterable
from enum import Enum

from posthouse.wire.intake import (
    END,
    FrameReader,
    IntakeProtocolError,
    NotTaken,
    Submission,
    Taken,
    decode_reply,
    encode_content,
    encode_submission,
)

SOCKET = "posthouse/intake"
"""Below queue_directory."""
TIMEOUT = 300.0
"""Seconds for one write or for the reply: a commit takes milliseconds, a full machine longer."""
PIECE = 65536
"""Bytes of content in one frame."""


class Absent(Enum):
    """Nobody listens."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


class HandOverFailed(Exception):
    """Somebody listened, but there was no reply: whether the message was taken is not known."""


def submit(queue_directory: str, submission: Submission, content: Iterable[bytes]) -> Taken | NotTaken | Absent:
    """Hand a message over. Raises HandOverFailed, OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(os.path.join(queue_directory, SOCKET))
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError, PermissionError, TimeoutError):
            return ABSENT
        try:
            connection.sendall(encode_submission(submission))
            for chunk in content:
                for start in range(0, len(chunk), PIECE):
                    connection.sendall(encode_content(chunk[start : start + PIECE]))
            connection.sendall(END)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have refused early: the reply tells
        return _reply(connection)
    finally:
        connection.close()


def _reply(connection: socket.socket) -> Taken | NotTaken:
    frames = FrameReader()
    try:
        while True:
            data = connection.recv(4096)
            if not data:
                raise HandOverFailed("connection closed without a reply")
            frames.receive_data(data)
            frame = frames.next_frame()
            if frame is not None:
                return decode_reply(*frame)
    except (TimeoutError, ConnectionResetError, IntakeProtocolError) as error:
        raise HandOverFailed(str(error) or "no reply") from error
