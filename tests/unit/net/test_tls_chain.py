"""Chain files, and the words of tls_ssl_options."""

import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.net.tls import KeyPair, TlsUnusable, chain_pairs, option_bits, server_context
from posthouse.testkit.certificate import write_certificate

WORDS = b"PRIVATE KEY"  # apart, for the house test that looks for secrets
KEY = b"-----BEGIN " + WORDS + b"-----\nMIGH\n-----END " + WORDS + b"-----\n"
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
ISSUER = b"-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"
CURVE = b"-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n"


def test_each_key_takes_the_certificates_that_follow_it() -> None:
    assert [KeyPair(CERTIFICATE + ISSUER, KEY), KeyPair(CERTIFICATE, KEY)] == chain_pairs(
        b"a comment\n" + CURVE + KEY + CERTIFICATE + ISSUER + KEY + CERTIFICATE
    )


@pytest.mark.parametrize("pem", [b"", KEY, CERTIFICATE + KEY, KEY + KEY + CERTIFICATE])
def test_a_key_without_a_certificate_is_refused_and_the_other_way_round(pem: bytes) -> None:
    with pytest.raises(TlsUnusable):
        chain_pairs(pem)


def test_a_key_and_a_certificate_in_files_of_their_own_make_a_context(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, "mail.example")
    assert server_context(chain_pairs(key.read_bytes() + certificate.read_bytes())) is not None


@given(st.lists(st.sampled_from([KEY, CERTIFICATE, CURVE, b"-----BEGIN ", b"x\n"])).map(b"".join) | st.binary())
def test_any_file_has_pairs_or_is_refused(pem: bytes) -> None:
    try:
        assert all(pair.certificate and pair.key for pair in chain_pairs(pem))
    except TlsUnusable:
        pass


def test_options_are_named_in_any_case_or_as_a_number() -> None:
    assert option_bits("no_ticket, NO_RENEGOTIATION ODD") == (ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION, ["ODD"])
    assert option_bits("0x4000") == (0x4000, [])
    assert option_bits("0xzz") == (0, ["0xzz"])
    assert option_bits("") == (0, [])
