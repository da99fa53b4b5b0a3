"""What workers and the keeper say to each other: a letter and JSON, with descriptors beside it.

On a connection of its own, a worker sends one of

* E, an Errand, with the content's descriptor: the answer is the JSON of a Report
* P, a PasswordCheck: the answer is "yes" or "no"
* S, a SessionStart, with a stream socket: a child of that user speaks on it; no answer

and the other side closes when it is done. The keeper passes requests on to its children over a pair, and beside
them tells them LOG, with the new descriptor of the mail log.
"""

import array
import json
import socket
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from posthouse.transport.hands import Errand, Report

MESSAGE_LIMIT = 128 * 1024
"""Bytes of one message: a pipe errand of fifty long recipients fits many times over."""


LOG = b"L"
"""To a child: the mail log goes on in the file of this descriptor."""


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """Ask PAM whether this password fits this login."""

    login: str
    password: str


@dataclass(frozen=True, slots=True)
class SessionStart:
    """Speak a protocol with somebody who has logged in."""

    protocol: str
    """"imap" or "pop3"."""
    login: str
    service: str
    """master.cf service name, for settings and log."""
    client_name: str
    client_address: str
    number: int
    """The session's number in the log."""
    tag: str = ""
    """imap: the tag of the LOGIN or AUTHENTICATE that the child answers."""
    tls: bool = False


Request = Errand | PasswordCheck | SessionStart

T = TypeVar("T")

_LETTERS: dict[type[Request], bytes] = {Errand: b"E", PasswordCheck: b"P", SessionStart: b"S"}
_KINDS: dict[bytes, type[Request]] = {letter: kind for kind, letter in _LETTERS.items()}


def _encode(value: Request | Report) -> bytes:
    """JSON in ASCII: addresses and programs' words may hold bytes that are no UTF-8 (lone surrogates inside)."""
    return json.dumps(msgspec.to_builtins(value)).encode("ascii")


def _decode(data: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.convert(json.loads(data), kind)
    except (ValueError, RecursionError):  # both errors of msgspec are ValueErrors
        return None


def encode_request(value: Request) -> bytes:
    """Letter and JSON."""
    return _LETTERS[type(value)] + _encode(value)


def encode_report(value: Report) -> bytes:
    """JSON."""
    return _encode(value)


def decode_request(data: bytes) -> Request | None:
    """A request, or None when it is none."""
    kind = _KINDS.get(data[:1])
    return None if kind is None else _decode(data[1:], kind)


def decode_report(data: bytes) -> Report | None:
    """A Report, or None when it is none."""
    return _decode(data, Report)


def send(connection: socket.socket, data: bytes, *descriptors: int) -> None:
    """One message with descriptors. Raises OSError."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())] if descriptors else []
    sent = connection.sendmsg([data], ancillary)
    while sent < len(data):
        sent += connection.send(data[sent:])


def receive(connection: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """One message with at most `most` descriptors; (b"", []) at the end. Raises OSError."""
    data, ancillary, _, _ = connection.recvmsg(MESSAGE_LIMIT, socket.CMSG_SPACE(4 * most))
    found: list[int] = []
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(raw[: len(raw) - len(raw) % 4])
            found += numbers.tolist()
    return data, found


def receive_request(connection: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """A whole request from a stream, which the kernel hands over in pieces of some 36 KB. Raises OSError."""
    data, found = receive(connection, most)
    while data and decode_request(data) is None and len(data) < MESSAGE_LIMIT:
        more = connection.recv(MESSAGE_LIMIT - len(data))
        if not more:
            break
        data += more
    return data, found
