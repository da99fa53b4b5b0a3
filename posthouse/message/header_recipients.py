"""The recipients that a header names, for sendmail -t.

To, Cc and Bcc; when any Resent- recipient field is there, only those (RFC 5322 section 3.6.6).
"""

from posthouse.address.address_list import addresses
from posthouse.message.header import field_value, scan_fields

PLAIN = frozenset({b"to", b"cc", b"bcc"})
RESENT = frozenset({b"resent-to", b"resent-cc", b"resent-bcc"})
_RESENT_ANY = frozenset({*RESENT, b"resent-from", b"resent-sender", b"resent-date", b"resent-message-id"})


def header_recipients(header: bytes) -> list[str]:
    """Addresses in internal form, in the header's order."""
    fields, _ = scan_fields(header)
    wanted = RESENT if any(field.name in _RESENT_ANY for field in fields) else PLAIN
    return [address for field in fields if field.name in wanted for address in addresses(field_value(header, field))]
