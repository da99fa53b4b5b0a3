"""postfix tls: what each subcommand leaves behind, and what it refuses."""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from posthouse.commands import postfix_tls
from posthouse.config.read import read_configuration

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")

Tls = Callable[..., int]


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    (tmp_path / "main.cf").write_text(
        f"myhostname = mail.example\ndata_directory = {tmp_path}/data\nmaillog_file = {tmp_path}/log\n"
        f"maillog_file_prefixes = {tmp_path}\ncompatibility_level = 3.6\n"
    )

    def run(*words: str) -> int:
        return postfix_tls.run(read_configuration(str(tmp_path)), list(words))

    return run


def _said(tmp_path: Path) -> list[str]:
    """The texts in the log since the last look."""
    log = tmp_path / "log"
    lines = [line.partition("]: ")[2] for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def _settings(tmp_path: Path) -> dict[str, str]:
    lines = (line.split(" = ", 1) for line in (tmp_path / "main.cf").read_text().splitlines())
    return {name: value for name, value in lines if "tls" in name}


@pytest.mark.parametrize(
    ("words", "last"),
    [
        (("enable-client", "x"), "fatal: usage: postfix tls enable-client [-r devrandom]"),
        (("enable-client", "-r"), "fatal: usage: postfix tls enable-client [-r devrandom]"),
        (
            ("enable-server", "-z"),
            "fatal: usage: postfix tls enable-server [-a algorithm] [-b bits ] [-r devrandom] [hostname ...]",
        ),
        (("enable-server", "-a", "dsa"), "fatal: Unsupported private key algorithm: dsa"),
        (("new-server-key", "-a", "dsa"), "fatal: Unsupported public key algorithm: dsa"),
        (("deploy-server-cert", "x"), "fatal: usage: postfix tls deploy-server-cert certfile keyfile"),
        (("deploy-server-cert", "a", "b"), "fatal: no private key found in file: {folder}/b"),
        (("output-server-tlsa",), "fatal: No usable keyfiles specified or configured"),
        (("output-server-csr", "-k", "none"), "fatal: No usable keyfile specified or configured"),
        (("all-default-server", "x"), "fatal: usage: postfix tls all-default-server"),
        (("new-server-key", "-a", "ecdsa", "-b", "no"), "fatal: error generating new ecdsa no private key"),
    ],
)
def test_what_cannot_be_done_is_refused_in_postfixs_words(
    tls: Tls, tmp_path: Path, words: tuple[str, ...], last: str
) -> None:
    assert tls(*words) == 1
    assert _said(tmp_path)[-1] == last.format(folder=tmp_path)
    assert _settings(tmp_path) == {}
    assert list(tmp_path.glob("*.pem")) == []


def test_an_unknown_command_is_named(tls: Tls, tmp_path: Path) -> None:
    assert tls("nonsense") == 1
    first, second = _said(tmp_path)
    assert first == "error: unknown tls command: 'nonsense'"
    assert second.startswith("fatal: usage: postfix tls enable-client (or enable-server, new-server-key, ")


def test_the_client_gets_opportunistic_tls_once(tls: Tls, tmp_path: Path) -> None:
    assert tls("all-default-client") == 0
    assert tls("enable-client", "-r", "dev:/dev/random") == 0
    settings = {
        "smtp_tls_security_level": "may",
        "smtp_tls_loglevel": "1",
        "smtp_tls_session_cache_database": f"lmdb:{tmp_path}/data/smtp_scache",
        "tls_random_source": "dev:/dev/random",
    }
    assert _settings(tmp_path) == settings
    assert _said(tmp_path)[0] == "Enabled opportunistic TLS in the Postfix SMTP client."
    assert tls("all-default-client") == 1
    assert tls("enable-client") == 0
    assert _said(tmp_path)[0] == "*** Non-default SMTP client TLS settings detected, no changes made."
    assert _settings(tmp_path) == settings


def test_the_server_gets_a_key_and_a_certificate_for_its_names(tls: Tls, tmp_path: Path) -> None:
    assert tls("enable-server", "-a", "ecdsa", "a.example", "b.example") == 0
    settings = _settings(tmp_path)
    key_path, certificate_path = Path(settings["smtpd_tls_eckey_file"]), Path(settings["smtpd_tls_eccert_file"])
    assert settings["smtpd_tls_security_level"] == "may" and settings["smtpd_tls_received_header"] == "yes"
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    key = load_pem_private_key(key_path.read_bytes().partition(b"-----END EC PARAMETERS-----\n")[2], None)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)
    assert certificate.subject.rfc4514_string() == "CN=a.example"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example", "b.example"]
    assert tls("enable-server") == 0
    assert "*** Non-default SMTP server TLS settings detected, no changes made." in _said(tmp_path)
    assert _settings(tmp_path) == settings


def test_a_new_certificate_keeps_the_key_and_is_deployed_with_it(
    tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from posthouse.commands import postfix_tls_files

    assert tls("enable-server", "-a", "ecdsa") == 0
    old = Path(_settings(tmp_path)["smtpd_tls_eckey_file"])
    monkeypatch.setattr(postfix_tls_files.time, "strftime", lambda *_: "20300101-000000")
    _said(tmp_path)
    assert tls("new-server-cert", "-a", "ecdsa") == 0
    key, certificate = f"{tmp_path}/eckey-20300101-000000.pem", f"{tmp_path}/eccert-20300101-000000.pem"
    said = _said(tmp_path)
    assert said[:2] == [
        "New private key and self-signed certificate created. To deploy run:",
        f"  # postfix tls deploy-server-cert {certificate} {key}",
    ]
    assert postfix_tls.DNS_FIRST not in said  # the same key: the records stay right
    assert _settings(tmp_path)["smtpd_tls_eckey_file"] == str(old)
    assert tls("deploy-server-cert", "eccert-20300101-000000.pem", "eckey-20300101-000000.pem") == 0
    assert _settings(tmp_path)["smtpd_tls_eckey_file"] == key
    assert tls("output-server-tlsa", "-h", "h.example", str(old), "ecdsa") == 0
    first, record, second, other = capsys.readouterr().out.splitlines()
    assert (first, second) == (f"; {old}", f"; {key}")
    assert record == other and record.startswith("_25._tcp.h.example. IN TLSA 3 1 1 ")
    assert tls("new-server-cert", "-a", "ecdsa") == 1
    assert _said(tmp_path)[-1] == f"fatal: New private key file already exists: {key}"


def test_a_certificate_of_another_key_is_not_deployed(
    tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from posthouse.commands import postfix_tls_files

    for stamp in ("1", "2"):
        monkeypatch.setattr(postfix_tls_files.time, "strftime", lambda *_, stamp=stamp: stamp)
        assert tls("new-server-key", "-a", "ecdsa") == 0
    assert tls("deploy-server-cert", "eccert-1.pem", "eckey-2.pem") == 1
    certificate, key = f"{tmp_path}/eccert-1.pem", f"{tmp_path}/eckey-2.pem"
    assert _said(tmp_path)[-1] == f"fatal: Certificate in {certificate} does not match key in {key}"
    assert _settings(tmp_path) == {}


def test_a_signing_request_has_the_names(tls: Tls, capsys: pytest.CaptureFixture[str]) -> None:
    assert tls("enable-server", "-a", "ecdsa") == 0
    assert tls("output-server-csr", "-k", "ecdsa", "x.example", "y.example") == 0
    request = x509.load_pem_x509_csr(capsys.readouterr().out.encode())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert request.is_signature_valid
    assert names.get_values_for_type(x509.DNSName) == ["x.example", "y.example"]


def test_without_openssl_it_says_so(tls: Tls, tmp_path: Path) -> None:
    with open(tmp_path / "main.cf", "a", encoding="ascii") as file:
        file.write("openssl_path = /nonexistent\n")
    assert tls("enable-server") == 1
    assert _said(tmp_path) == ["fatal: No working openssl(1) command found with 'openssl_path = /nonexistent'"]
