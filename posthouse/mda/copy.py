"""A message as a delivery leaves it: the lines put above it, and its line ends.

Standards: RFC 5321 section 4.4 (Return-Path); RFC 4155 (the mbox From_ line); RFC 9228 (Delivered-To).
"""

import time
from collections.abc import Iterator

from posthouse.address.local_part import quote_address


def delivery_fields(
    sender: str | None, original_recipient: str = "", delivered_to: str = "", *, return_path: bool = True
) -> bytes:
    """Return-Path, X-Original-To and Delivered-To, each when wanted, lines ending in CRLF.

    Addresses come in their internal form; in a header a local part of odd characters stands in quotes.
    """
    text = ""
    if return_path and sender is not None:
        text = f"Return-Path: <{quote_address(sender)}>\r\n"
    if original_recipient:
        text += f"X-Original-To: {quote_address(original_recipient)}\r\n"
    if delivered_to:
        text += f"Delivered-To: {quote_address(delivered_to)}\r\n"
    return text.encode("utf-8", "surrogateescape")


def from_line(sender: str, now: float) -> bytes:
    """The line that starts a message in an mbox, ending in LF."""
    name = quote_address(sender) or "MAILER-DAEMON"
    return f"From {name}  {time.ctime(now)}\n".encode("utf-8", "surrogateescape")


def unix_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """CRLF becomes LF, whatever the cut."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        held = b""
        if data.endswith(b"\r"):
            held, data = b"\r", data[:-1]
        yield data.replace(b"\r\n", b"\n")
    if held:
        yield held
