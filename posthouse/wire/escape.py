"""Bytes for the log, as C writes them in a string: backslashes and letters, octal digits for what cannot be shown."""

_LETTERS = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 92: "\\\\"}
_SHOWN = [_LETTERS.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in range(256)]


def escaped(data: bytes) -> str:
    """The text."""
    return "".join([_SHOWN[byte] for byte in data])
