"""What the mail worker and the keeper say to each other: JSON with descriptors beside it.

Worker to keeper, on a connection of its own per errand: one message (JSON of an Errand) with
the content's descriptor. Keeper hands both and the connection on to the child of the right
identity, which answers with the JSON of a Report and closes.
"""

import array
import socket

import msgspec

from posthouse.transport.hands import Errand, Report

MESSAGE_LIMIT = 128 * 1024
"""Bytes of one message: a pipe errand of fifty long recipients fits many times over."""

_encoder = msgspec.json.Encoder()
_errands = msgspec.json.Decoder(Errand)
_reports = msgspec.json.Decoder(Report)


def encode(value: Errand | Report) -> bytes:
    """JSON."""
    return _encoder.encode(value)


def decode_errand(data: bytes) -> Errand | None:
    """An Errand, or None when it is none."""
    try:
        return _errands.decode(data)
    except msgspec.MsgspecError:
        return None


def decode_report(data: bytes) -> Report | None:
    """A Report, or None when it is none."""
    try:
        return _reports.decode(data)
    except msgspec.MsgspecError:
        return None


def send(connection: socket.socket, data: bytes, *descriptors: int) -> None:
    """One message with descriptors. Raises OSError."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())] if descriptors else []
    connection.sendmsg([data], ancillary)


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
