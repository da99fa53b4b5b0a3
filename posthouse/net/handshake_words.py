"""What a TLS 1.3 handshake was made with, in the words of Postfix's log and Received field.

A cipher of TLS 1.3 says nothing about the key exchange and the signatures. They are told behind it: "key-exchange
X25519 server-signature ECDSA (prime256v1) server-digest SHA256", and what the client signed with, when it did. A
session that goes on is not signed again: then without the server's digest.

Standards: RFC 8446 sections 4.2.3, 4.2.7 and 4.4.3.
"""

import ctypes
import ssl

from posthouse.net.openssl import connection_pointer, library

PEER_KEY, PEER_DIGEST, OWN_DIGEST = 109, 108, 132
"""SSL_CTRL_GET_PEER_TMP_KEY, SSL_CTRL_GET_PEER_SIGNATURE_NID, SSL_CTRL_GET_SIGNATURE_NID of <openssl/ssl.h>."""

RSA, DH, EC = 6, 28, 408
"""EVP_PKEY_RSA, EVP_PKEY_DH, EVP_PKEY_EC of <openssl/evp.h>."""

NAME_LIMIT = 80
"""Bytes of a curve's name."""


def handshake_words(connection: ssl.SSLObject, *, server_side: bool) -> tuple[str, str]:
    """The key exchange with the server's signature, and the client's signature; ("", "") below TLS 1.3, and where they
    cannot be had."""
    found = library() if connection.version() == "TLSv1.3" else None
    pointer = 0 if found is None else connection_pointer(found, connection)
    if found is None or not pointer:
        return "", ""
    own, peer = found.SSL_get_certificate(pointer), found.SSL_get0_peer_certificate(pointer)
    own_digest, peer_digest = _digest(found, pointer, OWN_DIGEST), _digest(found, pointer, PEER_DIGEST)
    server, server_digest = (own, own_digest) if server_side else (peer, peer_digest)
    client, client_digest = (peer, peer_digest) if server_side else (own, own_digest)
    if not server_side and not client_digest:
        client = None  # we have a certificate, but were not asked for it
    exchange = _exchange(found, pointer)
    first = [f"key-exchange {exchange}"] if exchange else []
    return " ".join(first + _signature(found, "server", server, server_digest)), " ".join(
        _signature(found, "client", client, client_digest)
    )


def _digest(found: ctypes.CDLL, pointer: int, which: int) -> str:
    number = ctypes.c_int(0)
    if not found.SSL_ctrl(pointer, which, 0, ctypes.byref(number)) or not number.value:
        return ""
    return (found.OBJ_nid2sn(number.value) or b"").decode("ascii", "replace")


def _exchange(found: ctypes.CDLL, pointer: int) -> str:
    key = ctypes.c_void_p()
    if not found.SSL_ctrl(pointer, PEER_KEY, 0, ctypes.byref(key)) or not key.value:
        return ""
    try:
        return _named(found, key.value, {EC: "ECDHE", DH: "DHE"})
    finally:
        found.EVP_PKEY_free(key)


def _signature(found: ctypes.CDLL, whose: str, certificate: int | None, digest: str) -> list[str]:
    key = found.X509_get0_pubkey(certificate) if certificate else None
    if not key:
        return []
    # RFC 8446 section 4.2.3: RSA keys make no other signatures in TLS 1.3.
    words = [f"{whose}-signature {_named(found, key, {EC: 'ECDSA', RSA: 'RSA-PSS'})}"]
    return [*words, f"{whose}-digest {digest}"] if digest else words


def _named(found: ctypes.CDLL, key: int, names: dict[int, str]) -> str:
    """A key's kind, with its curve or size where the kind alone does not say it."""
    kind: int = found.EVP_PKEY_get_base_id(key)
    name = names.get(kind) or (found.OBJ_nid2sn(kind) or b"").decode("ascii", "replace")
    if kind == EC:
        curve, length = ctypes.create_string_buffer(NAME_LIMIT), ctypes.c_size_t()
        if found.EVP_PKEY_get_group_name(key, curve, NAME_LIMIT, ctypes.byref(length)):
            return f"{name} ({curve.value.decode('ascii', 'replace')})"
    elif kind in (RSA, DH):
        return f"{name} ({found.EVP_PKEY_get_bits(key)} bits)"
    return name
