"""A server's certificates against its TLSA records.

DANE-EE(3): the server's own certificate or key is the one that the record has; neither name nor dates matter.
DANE-TA(2): the record has a certificate or key of an authority. From the server's certificate a chain of valid
signatures must lead to it, by OpenSSL's rules (dates, who may sign, constraints on names), and the server's
certificate must have one of the wanted names. The authority must be among the certificates that the server sends,
above its own, unless the record has it whole.

Standards: RFC 7672 sections 3.1 and 3.2; RFC 7671 sections 5.1 and 5.2; RFC 5280 section 6 (by OpenSSL).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posthouse.transport.smtp.dane import DANE_TA, Tlsa, certificate_matches, record_fits
from posthouse.transport.smtp.tls_policy import certificate_names, name_matches

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@dataclass(frozen=True, slots=True)
class DaneFailure:
    """Why a server has not proved who it is, in OpenSSL's numbers and words."""

    whose: str
    """"server" or "CA": the certificate that is to blame."""
    number: int
    text: str

    def __str__(self) -> str:
        return f"num={self.number}:{self.text}"


NO_MATCH, WRONG_NAME, WRONG_PURPOSE, UNKNOWN = 65, 62, 26, 1
SELF_SIGNED = (18, 19)


def dane_failure(chain: Sequence[bytes], records: Sequence[Tlsa], names: Sequence[str]) -> DaneFailure | None:
    """None when the certificates, in DER, the server's own first, are what the records promise."""
    if not records:
        return DaneFailure("server", UNKNOWN, "unspecified certificate verification error")
    if chain and certificate_matches(chain[0], records):
        return None
    authorities = [record for record in records if record.usage == DANE_TA]
    nothing = DaneFailure("CA" if authorities else "server", NO_MATCH, "no matching DANE TLSA records")
    if not chain or not authorities:
        return nothing
    from cryptography.x509 import load_der_x509_certificate

    try:
        certificates = [load_der_x509_certificate(der) for der in chain]
        anchors = _anchors(certificates, authorities)
    except ValueError:
        return nothing
    if not anchors:
        return nothing
    failure = _path_failure(certificates, anchors) or _purpose_failure(certificates[0])
    if failure is not None:
        return failure
    own = certificate_names(chain[0])
    if not any(name_matches(wanted, name) for wanted in names for name in own):
        return DaneFailure("server", WRONG_NAME, "hostname mismatch")
    return None


def _anchors(certificates: "Sequence[Certificate]", records: Sequence[Tlsa]) -> "list[Certificate]":
    """The certificates that the records make trustworthy."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from cryptography.x509 import load_der_x509_certificate

    found: list[Certificate] = []
    for record in records:
        found += [certificate for certificate in certificates[1:] if record_fits(record, certificate)]
        if record.matching != 0:
            continue
        try:
            if record.selector == 0:
                found.append(load_der_x509_certificate(record.data))
                continue
            key = load_der_public_key(record.data)
        except (ValueError, UnsupportedAlgorithm):
            continue
        for (
            certificate
        ) in certificates:  # RFC 7671 section 5.2.3: the key of an authority whose certificate is not sent
            try:
                _check_signature(certificate, key)
            except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
                continue
            found.append(certificate)
    return found


def _check_signature(certificate: "Certificate", key: object) -> None:
    """Raises unless this key has signed the certificate."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    signed, signature = certificate.tbs_certificate_bytes, certificate.signature
    parameters, digest = certificate.signature_algorithm_parameters, certificate.signature_hash_algorithm
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
        key.verify(signature, signed, parameters)
    elif isinstance(key, rsa.RSAPublicKey) and digest is not None and parameters is not None:
        key.verify(signature, signed, parameters, digest)  # type: ignore[arg-type]  # a padding, as the key is RSA's
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        key.verify(signature, signed)
    else:
        raise TypeError("keys of another kind")


def _path_failure(certificates: "Sequence[Certificate]", anchors: "Sequence[Certificate]") -> DaneFailure | None:
    from OpenSSL import crypto

    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for anchor in anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    first, *others = [crypto.X509.from_cryptography(certificate) for certificate in certificates]
    try:
        crypto.X509StoreContext(store, first, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        number, depth, text = error.errors
        if number in SELF_SIGNED:  # the way leads to somebody, but not to whom a record names
            return DaneFailure("CA", NO_MATCH, "no matching DANE TLSA records")
        return DaneFailure("server" if depth == 0 else "CA", number, text)
    return None


def _purpose_failure(certificate: "Certificate") -> DaneFailure | None:
    """Who says what its certificate is for, must say that it is for servers."""
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        purposes = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return None
    except ValueError:
        return DaneFailure("server", WRONG_PURPOSE, "unsuitable certificate purpose")
    if {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        return None
    return DaneFailure("server", WRONG_PURPOSE, "unsuitable certificate purpose")
