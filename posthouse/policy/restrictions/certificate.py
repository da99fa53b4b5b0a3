"""Restrictions on client certificates: permit_tls_clientcerts, permit_tls_all_clientcerts, check_ccert_access.

A certificate is known by its fingerprint and by that of its public key, both digests in
smtpd_tls_fingerprint_digest, written as AB:CD:….

Standards: RFC 5280 section 4.1.2.7 (the public key); RFC 3207 section 4 (a client's certificate).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from posthouse.envelope.verdict import DUNNO, Verdict
from posthouse.net.stream import TlsInfo
from posthouse.policy.access_action import AccessActions
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.restriction import Check
from posthouse.policy.settings import CertificateSettings
from posthouse.tables.maps import Maps
from posthouse.tables.table import Table


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """What a certificate is known by; subject and issuer are common names, "" when it has none."""

    subject: str = ""
    issuer: str = ""
    fingerprint: str = ""
    key_fingerprint: str = ""


NO_CERTIFICATE = CertificateNames()


def names_of(tls: TlsInfo | None, digest: str) -> CertificateNames:
    """The names of the peer's certificate. Subject and issuer only when the certificate was verified."""
    if tls is None or tls.peer_certificate is None:
        return NO_CERTIFICATE
    found = _read(tls.peer_certificate, digest)
    return found if tls.verified else CertificateNames("", "", found.fingerprint, found.key_fingerprint)


def common_names(der: bytes) -> tuple[str, str]:
    """Subject and issuer, verified or not: to be told, not to be trusted."""
    found = _read(der, "sha256")
    return found.subject, found.issuer


@lru_cache(maxsize=256)
def _read(der: bytes, digest: str) -> CertificateNames:
    from cryptography import x509  # late: most services never see a client's certificate
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject, issuer = _common_name(certificate.subject), _common_name(certificate.issuer)
    except ValueError:
        return CertificateNames(fingerprint=fingerprint(der, digest))
    return CertificateNames(subject, issuer, fingerprint(der, digest), fingerprint(key, digest))


def _common_name(name: object) -> str:
    from cryptography import x509

    assert isinstance(name, x509.Name)
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def fingerprint(data: bytes, digest: str) -> str:
    """The digest as AB:CD:…."""
    found = hashlib.new(digest, data, usedforsecurity=False).digest()
    return ":".join(f"{octet:02X}" for octet in found)


class Certificates:
    """The checks; each is one restriction."""

    def __init__(
        self,
        settings: CertificateSettings,
        relay_clientcerts: Maps | None,
        actions: AccessActions,
        warn: Callable[[str], None],
    ) -> None:
        self._digest = settings.smtpd_tls_fingerprint_digest
        self._asked = settings.smtpd_tls_ask_ccert or settings.smtpd_tls_req_ccert
        self._relay_clientcerts = relay_clientcerts
        self._actions = actions
        self._warn = warn

    async def permit_tls_clientcerts(self, facts: Facts, subject: Subject) -> Verdict:
        """A client whose certificate or key is in relay_clientcerts."""
        self._check_asked(facts)
        names = names_of(facts.tls, self._digest)
        if self._relay_clientcerts is not None:
            for key in (names.fingerprint, names.key_fingerprint):
                row = await self._relay_clientcerts.lookup(key) if key else None
                if row is not None:
                    return facts.permit(f"{row.table}: {row.key} -> {row.value}")
        return DUNNO

    async def permit_tls_all_clientcerts(self, facts: Facts, subject: Subject) -> Verdict:
        """A client with any certificate that was verified."""
        self._check_asked(facts)
        if facts.tls is not None and facts.tls.peer_certificate is not None and facts.tls.verified:
            return facts.permit(f"certificate of {names_of(facts.tls, self._digest).subject}")
        return DUNNO

    def check_ccert_access(self, table: Table) -> Check:
        """An access table by fingerprint."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            names = names_of(facts.tls, self._digest)
            for key in (names.fingerprint, names.key_fingerprint):
                row = await table.lookup(key) if key else None
                if row is not None:
                    about = Subject(facts.namaddr, "Client certificate")
                    fact = f"{row.table}: {row.key} -> {row.value}"
                    return await self._actions.act(row.value, table.name, row.key, facts, about, fact=fact)
            return DUNNO

        return check

    def _check_asked(self, facts: Facts) -> None:
        if not self._asked:
            self._warn(f'{facts.current.restriction} is requested, but "smtpd_tls_ask_ccert = no"')
