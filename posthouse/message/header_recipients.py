"""The recipients that a header names, for sendmail -t.

To, Cc and Bcc; when any Resent- recipient is named, only those (RFC 5322 section 3.6.6).
"""

from posthouse.address.address_list import addresses
from posthouse.message.header import field_value, scan_fields

PLAIN = frozenset({b"to", b"cc", b"bcc"})
RESENT = frozenset({b"resent-to", b"resent-cc", b"resent-bcc"})


def header_recipients(header: bytes) -> list[str]:
    """Addresses in internal form, in the header's order."""
    fields, _ = scan_fields(header)

    def named(names: frozenset[bytes]) -> list[str]:
        return [one for field in fields if field.name in names for one in addresses(field_value(header, field))]

    return named(RESENT) or named(PLAIN)
