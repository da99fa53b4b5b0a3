"""Keys: lower case for fixed-string tables, bytes for files.

Postfix folds the whole of Unicode (straße finds STRASSE) while smtputf8_enable is on, ASCII otherwise.
"""


def fold_key(key: str, unicode: bool = True) -> str:
    """The key as it is stored in and asked of a fixed-string table."""
    if key.isascii():
        return key.lower()
    if unicode:
        return key.casefold()
    return "".join(c.lower() if c.isascii() else c for c in key)


def key_bytes(text: str) -> bytes:
    """Text as the bytes it was read from."""
    return text.encode("utf-8", "surrogateescape")


def key_text(data: bytes) -> str:
    """Bytes of a file or a peer as text; undecodable ones survive the round trip."""
    return data.decode("utf-8", "surrogateescape")


def is_utf8(text: str) -> bool:
    """Whether the bytes behind this text were UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
