"""The recipients that a header names, for sendmail -t.

To, Cc and Bcc; when any Resent- recipient is named, only those (RFC 5322 section 3.6.6).
"""

from posthouse.address.address_list import addresses_as_given
from posthouse.message.header import field_value, scan_fields

PLAIN = frozenset({b"to", b"cc", b"bcc"})
RESENT = frozenset({b"resent-to", b"resent-cc", b"resent-bcc"})


def header_recipients(header: bytes) -> list[tuple[str, str]]:
    """Addresses in internal form, in the header's order; each with what was written when it has a source route."""
    fields, _ = scan_fields(header)

    def named(names: frozenset[bytes]) -> list[tuple[str, str]]:
        return [
            one for field in fields if field.name in names for one in addresses_as_given(field_value(header, field))
        ]

    return named(RESENT) or named(PLAIN)
