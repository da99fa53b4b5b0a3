"""Domain names in DNS messages: labels and compression on the wire, escapes in text.

Inside a name is str in presentation form without the final dot: bytes that are no printable
ASCII, dots and backslashes inside a label are escaped.

Standards: RFC 1035 sections 2.3.4, 3.1, 4.1.4 and 5.1.
"""

NAME_LIMIT = 255
"""RFC 1035 section 2.3.4: octets in a name, length octets included."""
LABEL_LIMIT = 63
"""RFC 1035 section 2.3.4: octets in a label."""


class DnsFormatError(Exception):
    """Bytes that are no DNS message, or a value that cannot be put into one."""


def split_labels(name: str) -> list[bytes]:
    """The labels of a name in presentation form, unescaped. The root is []."""
    if name in ("", "."):
        return []
    if "\\" not in name:
        labels = name.removesuffix(".").encode("utf-8", "surrogateescape").split(b".")
    else:
        labels = _unescape(name)
    total = 1
    for label in labels:
        if not 0 < len(label) <= LABEL_LIMIT:
            raise DnsFormatError(f"bad label in domain name {name[:100]}")
        total += len(label) + 1
    if total > NAME_LIMIT:
        raise DnsFormatError(f"domain name too long: {name[:100]}")
    return labels


def _unescape(name: str) -> list[bytes]:
    labels = [bytearray()]
    i = 0
    while i < len(name):
        char = name[i]
        if char == "\\":
            digits = name[i + 1 : i + 4]
            if len(digits) == 3 and digits.isascii() and digits.isdigit() and int(digits) < 256:
                labels[-1].append(int(digits))
                i += 4
                continue
            if i + 1 == len(name):
                raise DnsFormatError("domain name ends in a backslash")
            labels[-1] += name[i + 1].encode("utf-8", "surrogateescape")
            i += 2
            continue
        if char == ".":
            labels.append(bytearray())
        else:
            labels[-1] += char.encode("utf-8", "surrogateescape")
        i += 1
    if not labels[-1] and len(labels) > 1:
        labels.pop()
    return [bytes(label) for label in labels]


_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/*+:=@!#$%&'?[]^`{|}~<>,;\"()")


def _label_text(label: bytes) -> str:
    if _PLAIN.issuperset(label):
        return label.decode("ascii")
    return "".join(chr(c) if c in _PLAIN else f"\\{chr(c)}" if c in b".\\" else f"\\{c:03d}" for c in label)


def read_name(data: bytes, offset: int) -> tuple[str, int]:
    """The name at an offset, and the offset after it. RFC 1035 section 4.1.4: pointers lead to a prior occurrence."""
    labels: list[str] = []
    end = -1
    barrier = offset
    total = 1
    while True:
        if offset >= len(data):
            raise DnsFormatError("name runs out of the message")
        length = data[offset]
        if length >= 0xC0:
            if offset + 2 > len(data):
                raise DnsFormatError("pointer runs out of the message")
            target = (length & 0x3F) << 8 | data[offset + 1]
            if end < 0:
                end = offset + 2
            if target >= barrier:
                raise DnsFormatError("compression pointer does not lead backwards")
            barrier = offset = target
            continue
        if length > LABEL_LIMIT:
            raise DnsFormatError("bad label type")
        offset += 1
        if length == 0:
            break
        total += length + 1
        if total > NAME_LIMIT or offset + length > len(data):
            raise DnsFormatError("name too long")
        labels.append(_label_text(data[offset : offset + length]))
        offset += length
    return ".".join(labels), end if end >= 0 else offset
