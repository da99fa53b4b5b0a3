"""TLS contexts from main.cf: certificates, protocols, SNI."""

import asyncio
import base64
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from posthouse.config.read import read_configuration
from posthouse.net.pair import stream_pair
from posthouse.net.stream import TlsFailed
from posthouse.net.tls import client_context
from posthouse.session.smtp.tls import open_tls_context


def make_pem(name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start)
    certificate = builder.not_valid_after(start + datetime.timedelta(days=36500)).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + certificate.public_bytes(pem)  # in this order, as Postfix wants it in chain files


def write(folder: Path, main_cf: str) -> str:
    (folder / "pem").write_bytes(make_pem("mail.example"))
    (folder / "main.cf").write_text(f"smtpd_tls_cert_file = {folder}/pem\n{main_cf}")
    return str(folder)


async def name_served(folder: str, asked: str, warnings: list[str]) -> str:
    context = open_tls_context(read_configuration(folder), warnings.append)
    assert context is not None
    near, far = stream_pair()
    server = asyncio.create_task(far.start_tls(context, server_side=True, timeout=5))
    info = await near.start_tls(client_context(), server_side=False, server_name=asked, timeout=5)
    await server
    assert info.peer_certificate is not None
    return x509.load_der_x509_certificate(info.peer_certificate).subject.rfc4514_string()


@pytest.mark.parametrize(
    ("asked", "served"), [("mail.example", "mail.example"), ("other.example", "other"), ("a.wild.example", "wild")]
)
async def test_sni_chooses_the_certificate(asked: str, served: str, tmp_path: Path) -> None:
    other, wild = (base64.b64encode(make_pem(name)).decode() for name in ("other", "wild"))
    (tmp_path / "sni").write_text(f"other.example {other}\n.wild.example {wild}\n")
    folder = write(tmp_path, f"tls_server_sni_maps = texthash:{tmp_path}/sni\n")
    warnings: list[str] = []
    assert await name_served(folder, asked, warnings) == f"CN={served}"
    assert not warnings


async def test_a_broken_sni_row_is_warned_of_and_the_usual_certificate_served(tmp_path: Path) -> None:
    (tmp_path / "sni").write_text("other.example nonsense!\n")
    folder = write(tmp_path, f"tls_server_sni_maps = texthash:{tmp_path}/sni\n")
    warnings: list[str] = []
    assert await name_served(folder, "other.example", warnings) == "CN=mail.example"
    assert len(warnings) == 1 and warnings[0].startswith("tls_server_sni_maps: ")


async def test_protocols_below_the_bar_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, "smtpd_tls_protocols = >=TLSv1.3\n")
    context = open_tls_context(read_configuration(folder), lambda text: None)
    assert context is not None
    near, far = stream_pair()
    server = asyncio.create_task(far.start_tls(context, server_side=True, timeout=5))
    with pytest.raises(TlsFailed):
        await near.start_tls(client_context(protocols="<=TLSv1.2"), server_side=False, timeout=5)
    near.close()
    with pytest.raises(TlsFailed):
        await server


def test_a_missing_certificate_turns_tls_off_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("smtpd_tls_cert_file = /nonexistent/pem\n")
    warnings: list[str] = []
    assert open_tls_context(read_configuration(str(tmp_path)), warnings.append) is None
    assert warnings == [
        'cannot get certificate from file "/nonexistent/pem": No such file or directory: disabling TLS support'
    ]


def test_no_certificate_is_no_tls(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("smtpd_tls_security_level = may\n")
    assert open_tls_context(read_configuration(str(tmp_path)), lambda text: None) is None
