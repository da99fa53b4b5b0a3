"""Certificates as posttls-finger shows them: names, fingerprints, and the chain in PEM."""

import hashlib
import ssl

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from posthouse.transport.smtp.tls_policy import certificate_names

_SHORT = {
    NameOID.COMMON_NAME: "CN",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "emailAddress",
}


def _hex(data: bytes, algorithm: str) -> str:
    return hashlib.new(algorithm, data).digest().hex(":").upper()


def fingerprints(der: bytes, algorithm: str) -> tuple[str, str]:
    """Of the certificate, and of its public key."""
    key = x509.load_der_x509_certificate(der).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _hex(der, algorithm), _hex(spki, algorithm)


def names_of(der: bytes) -> tuple[str, str, list[str]]:
    """Common names of subject and issuer ("" for none), and the DNS names."""
    certificate = x509.load_der_x509_certificate(der)
    return _common_name(certificate.subject), _common_name(certificate.issuer), certificate_names(der)


def _common_name(name: x509.Name) -> str:
    """An issuer without one is called by its organization."""
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        found = name.get_attributes_for_oid(kind)
        if found:
            return str(found[0].value)
    return ""


def one_line(der: bytes, *, issuer: bool) -> str:
    """A distinguished name as OpenSSL's one-line form: /O=Org/CN=mail.test."""
    certificate = x509.load_der_x509_certificate(der)
    name = certificate.issuer if issuer else certificate.subject
    return "".join(f"/{_SHORT.get(one.oid, one.oid.dotted_string)}={one.value!s}" for one in name)


def chain_text(sock: ssl.SSLSocket, algorithm: str) -> str:
    """The chain that the server sent. Python 3.11 gives it only by a name without promise; else the first alone."""
    found = getattr(getattr(sock, "_sslobj", None), "get_unverified_chain", None)
    leaf = sock.getpeercert(binary_form=True)
    chain = [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found()] if found is not None else [leaf]
    parts = ["\n---\nCertificate chain\n"]
    for number, der in enumerate(one for one in chain if one):
        digest, key_digest = fingerprints(der, algorithm)
        parts.append(
            f" {number} subject: {one_line(der, issuer=False)}\n    issuer: {one_line(der, issuer=True)}\n"
            f"   cert digest={digest}\n   pkey digest={key_digest}\n{ssl.DER_cert_to_PEM_cert(der)}"
        )
    return "".join(parts)
