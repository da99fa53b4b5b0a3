"""What the Received field says about TLS, as Postfix 3.7's smtpd wrote it for the same handshakes."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from posthouse.envelope.envelope import Client
from posthouse.net.stream import TlsInfo
from posthouse.session.smtp.received import received_field
from posthouse.testkit.certificate import write_certificate

EXCHANGE = "key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"
SIGNED = "client-signature ECDSA (prime256v1) client-digest SHA256"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder: Path = tmp_path_factory.mktemp("certificate")
    write_certificate(folder, "localhost", "127.0.0.1")
    return x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).public_bytes(Encoding.DER)


def lines(tls: TlsInfo) -> list[str]:
    client = Client(name="unknown", address="127.0.0.1", helo="x", protocol="ESMTP")
    field = received_field(
        client, hostname="pf.test", mail_name="Postfix", queue_id="5EF182201AA", recipient="b@far.test",
        date="Tue, 24 Nov 2026 13:12:34 +0000 (UTC)", tls=tls, show_tls=True, show_login=False, smtputf8=False,
    )  # fmt: skip
    return field.decode().split("\r\n")[1:-3]


def test_tls_1_2_is_told_in_a_line() -> None:
    assert lines(TlsInfo("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", 256)) == [
        "\t(using TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits))",
        "\t(No client certificate requested)",
    ]


def test_tls_1_3_takes_another_for_key_exchange_and_signature() -> None:
    assert lines(TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, key_exchange=EXCHANGE)) == [
        "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
        f"\t {EXCHANGE})",
        "\t(No client certificate requested)",
    ]


@pytest.mark.parametrize(("verified", "word"), [(False, "not verified"), (True, "verified OK")])
def test_a_clients_certificate_is_named(certificate: bytes, verified: bool, word: str) -> None:
    info = TlsInfo(
        "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, certificate, verified, key_exchange=EXCHANGE, client_signature=SIGNED
    )
    assert lines(info) == [
        "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
        f"\t {EXCHANGE}",
        f"\t {SIGNED})",
        f'\t(Client CN "localhost", Issuer "localhost" ({word}))',
    ]
