"""JSON as the queue's commands read and write it.

The same C code as the json module's, without that module: it compiles patterns when it is imported, which with re is
8 ms, and `postqueue -p` may take little more than twenty.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any, NoReturn


class _Reading:
    """What the C scanner asks of its decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(name: str) -> NoReturn:
        """NaN and its like are no JSON."""
        raise ValueError(f"no JSON: {name}")


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"no JSON for {type(value).__name__}")


_BLANKS = " \t\r\n"
_scan = make_scanner(_Reading)  # type: ignore[arg-type]  # typeshed has the scanner itself where its settings come
_compact = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False)
_spaced = make_encoder(None, _refuse, encode_basestring, None, ": ", ", ", False, False, False)


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError, RecursionError."""
    start = len(text) - len(text.lstrip(_BLANKS))
    try:
        value, end = _scan(text, start)
    except StopIteration as error:
        raise ValueError("no JSON") from error
    if text[end:].strip(_BLANKS):
        raise ValueError("more than one JSON value")
    return value


def compact_json(value: object) -> str:
    """ASCII without blanks, as programs read it; what is no UTF-8 travels as the escapes of its surrogates."""
    return "".join(_compact(value, 0))


def spaced_json(value: object) -> str:
    """With a blank after each comma and colon, and text as it is, as postqueue -j shows it."""
    return "".join(_spaced(value, 0))
