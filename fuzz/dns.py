"""Any bytes give a Message or DnsFormatError; a message that can be written again reads the same."""

from posthouse.wire.dns import encode_message, parse_message
from posthouse.wire.dns_name import DnsFormatError


def fuzz(data: bytes) -> None:
    try:
        message = parse_message(data)
    except DnsFormatError:
        return
    try:
        again = parse_message(encode_message(message))
    except DnsFormatError:
        return
    assert again.answers == message.answers
