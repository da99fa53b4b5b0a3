"""Client certificates as credentials."""

import hashlib
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from posthouse.net.stream import TlsInfo
from posthouse.policy.restrictions.certificate import fingerprint, names_of

STRANGER = "454 4.7.1 <x@elsewhere.example>: Relay access denied"


@pytest.fixture(scope="module")
def der() -> bytes:
    pem = trustme.CA().issue_cert("client.example", common_name="client.example").cert_chain_pems[0].bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def encrypted(der: bytes | None, *, verified: bool = False) -> TlsInfo:
    return TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, der, verified)


def test_a_fingerprint_is_a_digest_in_pairs(der: bytes) -> None:
    assert fingerprint(b"", "md5") == "D4:1D:8C:D9:8F:00:B2:04:E9:80:09:98:EC:F8:42:7E"
    key = x509.load_der_x509_certificate(der).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    names = names_of(encrypted(der, verified=True), "sha256")
    assert names.key_fingerprint.replace(":", "").lower() == hashlib.sha256(key).hexdigest()
    assert names.subject == "client.example"
    assert names_of(encrypted(der), "sha256").subject == ""


def test_bytes_that_are_no_certificate_have_a_fingerprint_only() -> None:
    names = names_of(encrypted(b"nonsense", verified=True), "sha256")
    assert (names.subject, names.key_fingerprint) == ("", "")


@pytest.mark.parametrize("which", ["fingerprint", "key_fingerprint"])
async def test_a_listed_certificate_may_relay(house: Any, der: bytes, which: str) -> None:
    known = getattr(names_of(encrypted(der), "sha256"), which)
    one = house(
        smtpd_relay_restrictions="permit_tls_clientcerts, defer_unauth_destination",
        smtpd_tls_ask_ccert="yes",
        relay_clientcerts=f"inline:{{{known}=client}}",
    )
    assert await one.send(recipient="x@elsewhere.example") == STRANGER
    one.session.tls(encrypted(der))
    assert await one.send(recipient="x@elsewhere.example") == "ok"
    assert one.warnings == []


async def test_any_verified_certificate_may_relay(house: Any, der: bytes) -> None:
    one = house(smtpd_relay_restrictions="permit_tls_all_clientcerts, defer_unauth_destination")
    one.session.tls(encrypted(der))
    assert await one.send(recipient="x@elsewhere.example") == STRANGER
    one.session.tls(encrypted(der, verified=True))
    assert await one.send(recipient="x@elsewhere.example") == "ok"
    assert one.warnings[0] == 'permit_tls_all_clientcerts is requested, but "smtpd_tls_ask_ccert = no"'


async def test_an_access_table_by_fingerprint(house: Any, der: bytes) -> None:
    known = names_of(encrypted(der), "sha256").fingerprint
    one = house(smtpd_client_restrictions=f"check_ccert_access inline:{{{known}=REJECT}}")
    assert await one.send() == "ok"
    one.session.tls(encrypted(der))
    assert await one.send() == "554 5.7.1 <unknown[192.0.2.9]>: Client certificate rejected: Access denied"
