"""An address, local_part@domain, as it is kept inside: without quotes, without angle brackets.

The internal form of `"a b"@x.example` is `a b@x.example`; bytes that are no UTF-8 are surrogates
(PEP 383). The domain starts after the last @, so a local part may hold more of them.

Standards: RFC 5321 sections 2.3.11 and 2.4 (the domain is case-insensitive, the local part is
folded all the same in look-ups, as Postfix does).
"""


def split_address(address: str) -> tuple[str, str]:
    """(local_part, domain); the domain is "" when there is no @."""
    local_part, at, domain = address.rpartition("@")
    return (local_part, domain) if at else (domain, "")


def join_address(local_part: str, domain: str) -> str:
    """The address, or the local part alone when the domain is ""."""
    return f"{local_part}@{domain}" if domain else local_part


def fold(text: str) -> str:
    """The form for comparisons and look-ups: full Unicode case folding when there is more than ASCII in it."""
    return text.lower() if text.isascii() else text.casefold()
