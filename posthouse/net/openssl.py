"""OpenSSL's own functions, for what Python's ssl has no words for.

They are called in the very library that the ssl module is linked to, with the SSL_CTX that an SSLContext holds as its
first field and the SSL that an _SSLSocket holds as its second, in every CPython so far. Whether that is so is looked
at before anything is touched; where it is not, nothing is.
"""

import _ssl
import ctypes
import ssl
import sys
from functools import cache

_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_long
_INT_AT = ctypes.POINTER(ctypes.c_int)

FUNCTIONS: dict[str, tuple[object, list[object]]] = {
    "SSL_CTX_get_options": (ctypes.c_uint64, [_POINTER]),
    "SSL_CTX_set_timeout": (_LONG, [_POINTER, _LONG]),
    "SSL_CTX_ctrl": (_LONG, [_POINTER, _INT, _LONG, _POINTER]),
    "SSL_ctrl": (_LONG, [_POINTER, _INT, _LONG, _POINTER]),
    "SSL_get_SSL_CTX": (_POINTER, [_POINTER]),
    "SSL_get_certificate": (_POINTER, [_POINTER]),
    "SSL_get0_peer_certificate": (_POINTER, [_POINTER]),
    "X509_get0_pubkey": (_POINTER, [_POINTER]),
    "EVP_PKEY_get_base_id": (_INT, [_POINTER]),
    "EVP_PKEY_get_bits": (_INT, [_POINTER]),
    "EVP_PKEY_get_group_name": (
        _INT,
        [_POINTER, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t)],
    ),
    "EVP_PKEY_free": (None, [_POINTER]),
    "OBJ_nid2sn": (ctypes.c_char_p, [_INT]),
}
"""By name: what each returns and takes, of OpenSSL 3."""

TICKET_KEYS = 80
"""Bytes of a set of ticket keys: a name of 16, 32 for HMAC-SHA256, 32 for AES-256-CBC (RFC 5077 section 4)."""

SET_TICKET_KEYS = 59
"""SSL_CTRL_SET_TLSEXT_TICKET_KEYS of <openssl/ssl.h>."""


@cache
def library() -> ctypes.CDLL | None:
    """The library with these functions, or None where it is another one, or Python is."""
    if sys.implementation.name != "cpython" or ssl.OPENSSL_VERSION_INFO < (3, 0):
        return None
    try:
        found = ctypes.CDLL(getattr(_ssl, "__file__", None))
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return found


def _field(owner: object, number: int) -> int:
    """A pointer in a Python object, behind its head."""
    place = id(owner) + object.__basicsize__ + number * ctypes.sizeof(_POINTER)
    return ctypes.c_void_p.from_address(place).value or 0


def _context_pointer(found: ctypes.CDLL, context: ssl.SSLContext) -> int:
    """The context's SSL_CTX, or 0 when that is not what stands there."""
    pointer = _field(context, 0)
    if not pointer or pointer % ctypes.sizeof(_POINTER):
        return 0
    return pointer if found.SSL_CTX_get_options(pointer) & 0xFFFFFFFF == context.options & 0xFFFFFFFF else 0


def connection_pointer(found: ctypes.CDLL, connection: ssl.SSLObject) -> int:
    """The SSL of a connection, or 0 when that is not what stands there."""
    inner = connection._sslobj  # type: ignore[attr-defined]  # where ssl.py keeps the module's own object
    if _field(inner, 2) != id(inner.context):
        return 0
    return _field(inner, 1)


def set_ticket_keys(context: ssl.SSLContext, keys: bytes) -> bool:
    """Encrypt and decrypt tickets with these keys; False when that cannot be."""
    assert len(keys) == TICKET_KEYS
    found = library()
    pointer = 0 if found is None else _context_pointer(found, context)
    if found is None or not pointer:
        return False
    return bool(
        found.SSL_CTX_ctrl(pointer, SET_TICKET_KEYS, TICKET_KEYS, ctypes.create_string_buffer(keys, TICKET_KEYS))
    )


def set_session_lifetime(context: ssl.SSLContext, seconds: int) -> bool:
    """Let sessions be resumed for so long; False when that cannot be."""
    found = library()
    pointer = 0 if found is None else _context_pointer(found, context)
    if found is None or not pointer:
        return False
    found.SSL_CTX_set_timeout(pointer, seconds)
    return True
