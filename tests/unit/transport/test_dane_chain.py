"""Chains of certificates against TLSA records: who is an authority, and what OpenSSL wants of the way to it."""

import datetime
import hashlib
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from posthouse.transport.smtp.dane import Tlsa, parse_tlsa, strongest
from posthouse.transport.smtp.dane_chain import DaneFailure, dane_failure

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
HOST = "mx1.far.test"


@dataclass(frozen=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def spki(self) -> bytes:
        return self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def record(self, text: str) -> Tlsa:
        """The record with these three numbers."""
        usage, selector, matching = (int(word) for word in text.split())
        form = self.spki if selector else self.der
        digest = {0: lambda b: b, 1: lambda b: hashlib.sha256(b).digest(), 2: lambda b: hashlib.sha512(b).digest()}
        return Tlsa(usage, selector, matching, digest[matching](form))


def make(
    name: str,
    issuer: Made | None = None,
    *,
    ca: bool = True,
    dns: str = "",
    ends: datetime.timedelta = 30 * DAY,
    purpose: x509.ObjectIdentifier | None = None,
    kind: str = "ec",
) -> Made:
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(issuer.certificate.subject if issuer else subject)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - 60 * DAY).not_valid_after(NOW + ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return Made(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


ROOT = make("Root")
MIDDLE = make("Middle", ROOT)
LEAF = make(HOST, MIDDLE, ca=False, dns=HOST)
OTHER = make("Other")
CHAIN = [LEAF.der, MIDDLE.der, ROOT.der]
NOTHING = DaneFailure("CA", 65, "no matching DANE TLSA records")


@pytest.mark.parametrize("authority", [ROOT, MIDDLE])
@pytest.mark.parametrize("numbers", ["2 0 0", "2 0 1", "2 0 2", "2 1 0", "2 1 1", "2 1 2"])
def test_an_authority_above_the_server_is_good_in_every_form(authority: Made, numbers: str) -> None:
    assert dane_failure(CHAIN, [authority.record(numbers)], [HOST]) is None


@pytest.mark.parametrize("numbers", ["2 0 0", "2 0 1", "2 1 0", "2 1 1"])
def test_another_authority_is_not(numbers: str) -> None:
    assert dane_failure(CHAIN, [OTHER.record(numbers)], [HOST]) == NOTHING


def test_the_servers_own_certificate_is_no_authority() -> None:
    assert dane_failure(CHAIN, [LEAF.record("2 0 1")], [HOST]) == NOTHING


@pytest.mark.parametrize("numbers", ["2 0 0", "2 1 0"])
def test_an_authority_that_the_record_has_whole_need_not_be_sent(numbers: str) -> None:
    assert dane_failure(CHAIN[:2], [ROOT.record(numbers)], [HOST]) is None
    assert dane_failure(CHAIN[:2], [ROOT.record(numbers.replace("0", "1"))], [HOST]) == NOTHING


def test_a_key_of_rsa_signs_as_well() -> None:
    root = make("Root of RSA", kind="rsa")
    leaf = make(HOST, root, ca=False, dns=HOST)
    assert dane_failure([leaf.der], [root.record("2 1 0")], [HOST]) is None
    assert dane_failure([leaf.der], [make("R", kind="rsa").record("2 1 0")], [HOST]) == NOTHING


def test_the_name_counts_under_an_authority_and_not_for_the_servers_own_record() -> None:
    assert dane_failure(CHAIN, [ROOT.record("2 0 1")], ["far.test", HOST]) is None
    wrong = dane_failure(CHAIN, [ROOT.record("2 0 1")], ["far.test"])
    assert str(wrong) == "num=62:hostname mismatch"
    assert dane_failure(CHAIN, [ROOT.record("2 0 1"), LEAF.record("3 1 1")], ["far.test"]) is None


def test_what_is_over_is_not_good_under_an_authority() -> None:
    old = make(HOST, MIDDLE, ca=False, dns=HOST, ends=-DAY)
    failure = dane_failure([old.der, MIDDLE.der, ROOT.der], [ROOT.record("2 0 1")], [HOST])
    assert failure == DaneFailure("server", 10, "certificate has expired")
    assert dane_failure([old.der], [old.record("3 0 1")], [HOST]) is None


def test_who_may_not_sign_is_no_link() -> None:
    pretender = make("Pretender", ROOT, ca=False)
    leaf = make(HOST, pretender, ca=False, dns=HOST)
    failure = dane_failure([leaf.der, pretender.der, ROOT.der], [ROOT.record("2 0 1")], [HOST])
    assert failure is not None
    assert failure.whose == "CA"


def test_a_chain_with_a_gap_leads_nowhere() -> None:
    failure = dane_failure([LEAF.der, ROOT.der], [ROOT.record("2 0 1")], [HOST])
    assert failure is not None
    assert failure.number == 20


def test_a_certificate_for_clients_is_none_for_a_server() -> None:
    usage = x509.oid.ExtendedKeyUsageOID
    for purpose, good in ((usage.SERVER_AUTH, True), (usage.CLIENT_AUTH, False)):
        leaf = make(HOST, MIDDLE, ca=False, dns=HOST, purpose=purpose)
        failure = dane_failure([leaf.der, MIDDLE.der, ROOT.der], [ROOT.record("2 0 1")], [HOST])
        assert (failure is None) is good


def test_no_records_and_no_certificates() -> None:
    assert dane_failure(CHAIN, [], [HOST]) == DaneFailure("server", 1, "unspecified certificate verification error")
    assert dane_failure([], [ROOT.record("2 0 1")], [HOST]) == NOTHING
    assert dane_failure([], [ROOT.record("3 0 1")], [HOST]) == DaneFailure("server", 65, NOTHING.text)


def test_a_weak_digest_beside_a_strong_one_does_not_count() -> None:
    good, wrong = ROOT.record("2 0 1"), Tlsa(2, 0, 2, bytes(64))
    whole, other = ROOT.record("2 0 0"), ROOT.record("2 1 1")
    assert strongest([good, wrong], ("sha512", "sha256")) == (wrong,)
    assert strongest([good, wrong], ("sha256", "sha512")) == (good,)
    assert strongest([good, wrong, whole, other], ("sha512",)) == (wrong, whole)
    assert strongest([good], ("sha512", "sha256")) == (good,)


@given(st.lists(st.binary(max_size=200), max_size=3), st.binary(max_size=100), st.sampled_from(["2 0 0", "2 1 0"]))
def test_any_bytes_prove_nothing(chain: list[bytes], data: bytes, numbers: str) -> None:
    record = parse_tlsa(f"{numbers} {data.hex()}")
    for records in ([ROOT.record("2 0 1")], [record] if record is not None else []):
        assert dane_failure(chain, records, [HOST]) is not None


@given(st.binary(max_size=100), st.sampled_from(["2 0 0", "2 1 0"]))
def test_any_authority_in_a_record_proves_nothing(data: bytes, numbers: str) -> None:
    record = parse_tlsa(f"{numbers} {data.hex()}")
    if record is not None:
        assert dane_failure(CHAIN, [record], [HOST]) is not None
