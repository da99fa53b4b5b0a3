"""The domain: host names, address literals.

Standards: RFC 5321 sections 4.1.2 and 4.1.3; RFC 1123 section 2.1; RFC 5890 (UTF-8 labels are accepted as they are).
"""

import re
from functools import lru_cache

NAME_LIMIT = 255
"""RFC 1035 section 2.3.4: octets of a name."""
LABEL_LIMIT = 63
"""RFC 1035 section 2.3.4: octets of a label."""

# RFC 1123 section 2.1: let-dig [*(let-dig-hyp) let-dig]; "_" is let through, as Postfix does, because
# names with it exist; a last label of digits alone would be an address.
_LABEL = re.compile(r"[A-Za-z0-9_\u0080-\U0010ffff](?:[A-Za-z0-9_\-\u0080-\U0010ffff]*[A-Za-z0-9_\u0080-\U0010ffff])?")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_HEXTET = re.compile(r"[0-9A-Fa-f]{1,4}")


def is_hostname(name: str) -> bool:
    """Whether it is a host name, with or without dots: no empty label, none too long, not all digits and dots."""
    if not name or len(name.encode("utf-8", "surrogateescape")) > NAME_LIMIT:
        return False
    labels = name.split(".")
    for label in labels:
        if len(label.encode("utf-8", "surrogateescape")) > LABEL_LIMIT or not _LABEL.fullmatch(label):
            return False
    return not labels[-1].isdigit()


def is_ipv4(text: str) -> bool:
    """Whether it is a dotted quad."""
    return _IPV4.fullmatch(text) is not None


def is_ipv6(text: str) -> bool:
    """Whether it is an RFC 4291 section 2.2 address in text."""
    if text.count("::") > 1 or ":::" in text:
        return False
    head, double, tail = text.partition("::")
    groups = [g for part in (head, tail) if part for g in part.split(":")]
    count = 0
    for number, group in enumerate(groups):
        if number == len(groups) - 1 and is_ipv4(group):
            count += 2
        elif _HEXTET.fullmatch(group):
            count += 1
        else:
            return False
    return count < 8 if double else count == 8


def literal_address(domain: str) -> str | None:
    """The address inside "[192.0.2.1]" or "[IPv6:2001:db8::1]", or None when it is no such literal."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    inner = domain[1:-1]
    if inner[:5].lower() == "ipv6:":
        return inner[5:] if is_ipv6(inner[5:]) else None
    return inner if is_ipv4(inner) else None


@lru_cache(maxsize=4096)
def is_domain(domain: str) -> bool:
    """Whether it may stand after the @: a host name or an address literal. Remembered: mail comes in bursts."""
    if domain.startswith("["):
        return literal_address(domain) is not None
    return is_hostname(domain)


def parents(domain: str) -> list[str]:
    """The parent domains, nearest first: of a.b.example, b.example and example."""
    out = []
    _, dot, rest = domain.partition(".")
    while dot:
        out.append(rest)
        _, dot, rest = rest.partition(".")
    return out
