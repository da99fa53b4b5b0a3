"""xtext: text as the value of an SMTP parameter.

Standard: RFC 3461 section 4: xtext = *( xchar / hexchar ), hexchar = "+" and two upper-case hex digits.
"""

import re

# xchar: any CHAR between "!" and "~", except "+" and "=".
_NO_XCHAR = re.compile(r"[^!-*,-<>-~]")


def encode_xtext(text: str) -> str:
    """Text as xtext; what is not ASCII as the bytes of its UTF-8."""
    return _NO_XCHAR.sub(
        lambda found: "".join(f"+{byte:02X}" for byte in found.group().encode("utf-8", "surrogateescape")), text
    )


def encode_orcpt(text: str) -> str:
    """ADDRTYPE;address as Postfix's files have it, as an ORCPT value (RFC 3461 section 4.2)."""
    kind, semicolon, address = text.partition(";")
    return f"{kind};{encode_xtext(address)}" if semicolon else encode_xtext(text)
