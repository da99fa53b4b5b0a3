"""What OpenSSL can do with a context and Python's ssl has no words for: the keys of session tickets, and how long a
session may be resumed.

The functions are called in the very library that the ssl module is linked to, with the SSL_CTX that an SSLContext
holds as its first field, in every CPython so far. Whether that is so is looked at before anything is changed; where
it is not, nothing is, and the answer is False.
"""

import _ssl
import ctypes
import ssl
import sys
from dataclasses import dataclass
from functools import cache

TICKET_KEYS = 80
"""Bytes of a set of ticket keys: a name of 16, 32 for HMAC-SHA256, 32 for AES-256-CBC (RFC 5077 section 4)."""

SET_TICKET_KEYS = 59
"""SSL_CTRL_SET_TLSEXT_TICKET_KEYS of <openssl/ssl.h>."""


@dataclass(frozen=True, slots=True)
class _Library:
    """The functions, with their types."""

    options: "ctypes._FuncPointer"
    timeout: "ctypes._FuncPointer"
    control: "ctypes._FuncPointer"


@cache
def _library() -> _Library | None:
    if sys.implementation.name != "cpython":
        return None
    try:
        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        options, timeout, control = library.SSL_CTX_get_options, library.SSL_CTX_set_timeout, library.SSL_CTX_ctrl
    except (OSError, AttributeError):
        return None
    options.restype, options.argtypes = ctypes.c_uint64, [ctypes.c_void_p]
    timeout.restype, timeout.argtypes = ctypes.c_long, [ctypes.c_void_p, ctypes.c_long]
    control.restype = ctypes.c_long
    control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    return _Library(options, timeout, control)


def _pointer(library: _Library, context: ssl.SSLContext) -> int | None:
    """The context's SSL_CTX, or None when that is not what stands there."""
    found = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if not found or found % ctypes.sizeof(ctypes.c_void_p):
        return None
    return found if library.options(found) & 0xFFFFFFFF == context.options & 0xFFFFFFFF else None


def set_ticket_keys(context: ssl.SSLContext, keys: bytes) -> bool:
    """Encrypt and decrypt tickets with these keys; False when that cannot be."""
    assert len(keys) == TICKET_KEYS
    library = _library()
    pointer = None if library is None else _pointer(library, context)
    if library is None or pointer is None:
        return False
    return bool(library.control(pointer, SET_TICKET_KEYS, TICKET_KEYS, ctypes.create_string_buffer(keys, TICKET_KEYS)))


def set_session_lifetime(context: ssl.SSLContext, seconds: int) -> bool:
    """Let sessions be resumed for so long; False when that cannot be."""
    library = _library()
    pointer = None if library is None else _pointer(library, context)
    if library is None or pointer is None:
        return False
    library.timeout(pointer, seconds)
    return True
