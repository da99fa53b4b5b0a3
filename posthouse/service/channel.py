"""What the master and a child say to each other, over one SEQPACKET pair.

Master to child: RETIRE (stop accepting, finish, end), STOP (end soon), ADOPT (a brother is gone:
its queue shards are free), LOG (with the new descriptor of the mail log). Child to master: READY
(listening), LEFT (after RETIRE: accepts no more), FATAL and a text. End of file tells either that
the other is gone: a child then ends, so that kill -9 of the master leaves no orphan.
"""

import array
import socket
from dataclasses import dataclass

RETIRE = b"retire"
STOP = b"stop"
ADOPT = b"adopt"
LOG = b"log"
READY = b"ready"
LEFT = b"left"
FATAL = b"fatal "

MESSAGE_LIMIT = 8192
"""Bytes of one message: a FATAL text is cut to fit."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, with the descriptor that came along or None."""

    data: bytes
    descriptor: int | None = None


class Channel:
    """One end of the pair."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    @classmethod
    def pair(cls) -> "tuple[Channel, Channel]":
        """The master's end and the child's end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    def send(self, data: bytes, descriptor: int | None = None) -> bool:
        """Say something; False when the other end is gone."""
        ancillary = (
            []
            if descriptor is None
            else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes())]
        )
        try:
            self.socket.sendmsg([data[:MESSAGE_LIMIT]], ancillary)
        except OSError:
            return False
        return True

    def receive(self) -> Message | None:
        """What was said, or None when the other end is gone. Call when the socket is readable."""
        try:
            data, ancillary, _, _ = self.socket.recvmsg(MESSAGE_LIMIT, socket.CMSG_SPACE(4))
        except OSError:
            return None
        if not data:
            return None
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                return Message(data, array.array("i", raw[:4])[0])
        return Message(data)

    def close(self) -> None:
        """Be gone."""
        self.socket.close()
