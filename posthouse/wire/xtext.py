"""xtext: text as the value of an SMTP parameter.

Standard: RFC 3461 section 4: xtext = *( xchar / hexchar ), hexchar = "+" and two upper-case hex digits.
"""

import re

# xchar: any CHAR between "!" and "~", except "+" and "=".
_NO_XCHAR = re.compile(r"[^!-*,-<>-~]")
_HEXCHARS = re.compile(r"(?:\+[0-9A-F]{2})+")


def encode_xtext(text: str) -> str:
    """Text as xtext; what is not ASCII as the bytes of its UTF-8."""
    return _NO_XCHAR.sub(
        lambda found: "".join(f"+{byte:02X}" for byte in found.group().encode("utf-8", "surrogateescape")), text
    )


def decode_xtext(text: str) -> str:
    """The text that xtext stands for. A "+" without its digits stays."""
    return _HEXCHARS.sub(
        lambda found: bytes.fromhex(found.group().replace("+", "")).decode("utf-8", "surrogateescape"), text
    )


def encode_orcpt(text: str) -> str:
    """ADDRTYPE;address as Postfix's files have it, as an ORCPT value (RFC 3461 section 4.2)."""
    kind, semicolon, address = text.partition(";")
    return f"{kind};{encode_xtext(address)}" if semicolon else encode_xtext(text)
