"""What a TLS 1.3 handshake was made with, in Postfix 3.7's words (as its smtpd logged them for the same keys)."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from posthouse.net.stream import TlsInfo
from posthouse.net.tls import KeyPair, client_context, server_context
from posthouse.net.tls_layer import TlsLayer

SHOWN = {
    "ec": "ECDSA (prime256v1)",
    "rsa": "RSA-PSS (2048 bits)",
    "ed25519": "ED25519",
}


def pair(kind: str) -> KeyPair:
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if kind == "ec":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, kind)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    made = builder.sign(key, None if kind == "ed25519" else hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyPair(made.public_bytes(Encoding.PEM), private)


def meet(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[TlsInfo, TlsInfo, TlsLayer]:
    near = TlsLayer(client, server_side=False, server_name="x.test", session=session)
    far = TlsLayer(server, server_side=True, server_name="")
    done = [False, False]
    while not all(done):
        done[0] = near.handshake()
        far.feed(near.ciphertext())
        done[1] = far.handshake()
        near.feed(far.ciphertext())
    near.feed(far.write(b"220\r\n"))
    near.read()
    return near.info(verified=False), far.info(verified=False), near


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_both_ends_say_the_same_of_the_servers_signature(kind: str) -> None:
    near, far, _ = meet(server_context([pair(kind)]), client_context())
    digest = "" if kind == "ed25519" else " server-digest SHA256"
    expected = f"key-exchange X25519 server-signature {SHOWN[kind]}{digest}"
    assert (near.key_exchange, far.key_exchange) == (expected, expected)
    assert (near.client_signature, far.client_signature) == ("", "")
    assert near.words == f"TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) {expected}"


def test_a_curve_of_the_exchange_is_named() -> None:
    client = client_context()
    client.set_ecdh_curve("prime256v1")
    near, far, _ = meet(server_context([pair("ec")]), client)
    assert near.key_exchange.startswith("key-exchange ECDHE (prime256v1) server-signature ")
    assert near.key_exchange == far.key_exchange


def test_the_clients_signature_is_told_where_it_was_asked_for(tmp_path: object) -> None:
    own = pair("ec")
    client = client_context(pairs=[own])
    near, far, _ = meet(server_context([pair("rsa")]), client)
    assert (near.client_signature, far.client_signature) == ("", "")
    server = server_context([pair("rsa")])
    server.verify_mode = ssl.CERT_REQUIRED
    assert isinstance(own.certificate, bytes)
    server.load_verify_locations(cadata=own.certificate.decode())
    near, far, _ = meet(server, client)
    expected = "client-signature ECDSA (prime256v1) client-digest SHA256"
    assert (near.client_signature, far.client_signature) == (expected, expected)
    assert far.words.endswith(f"server-digest SHA256 {expected}")


def test_below_tls_1_3_the_cipher_says_it_all() -> None:
    near, far, _ = meet(server_context([pair("ec")]), client_context(protocols="TLSv1.2"))
    assert near.words == far.words == "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)"


def test_a_session_that_goes_on_is_not_signed_again_and_shows_no_chain() -> None:
    server, client = server_context([pair("ec")]), client_context()
    _, _, first = meet(server, client)
    near, far, second = meet(server, client, first.session())
    assert near.resumed
    assert far.resumed
    assert near.key_exchange == "key-exchange X25519 server-signature ECDSA (prime256v1)"
    assert (len(first.chain()), len(second.chain())) == (1, 0)
    assert near.peer_certificate == first.chain()[0]
