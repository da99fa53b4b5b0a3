"""Any bytes give a Message or DnsFormatError; a message that can be written again reads the same."""

import random

from rounds import main

from posthouse.wire.dns import encode_message, parse_message
from posthouse.wire.dns_name import DnsFormatError

SEEDS = [
    bytes.fromhex("1234818000010002000000000378616d706c65036e657400000f0001c00c000f00010000003c0009000a046d61696cc00c")
    + bytes.fromhex("c00c000f00010000003c000400140000"),
    bytes.fromhex("000101200001000000000001016100001000010000291000000080000000"),
    bytes.fromhex("000085830001000000010000016100001c0001c00c00060001000000050010c00cc00c0000000100000002000000030000")
    + bytes.fromhex("000400000005"),
]
ALPHABET = b"\0\x01\x0c\x0f\x10\x3f\x40\xc0\xffa"


def check(data: bytes, source: random.Random) -> None:
    try:
        message = parse_message(data)
    except DnsFormatError:
        return
    try:
        again = parse_message(encode_message(message))
    except DnsFormatError:
        return
    assert again.answers == message.answers


if __name__ == "__main__":
    main(SEEDS, ALPHABET, check)
