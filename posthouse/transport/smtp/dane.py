"""DANE: which certificate a server must show, as its zone says under DNSSEC.

Only answers that DNSSEC vouches for count, the whole way: MX, address and TLSA. Certificates
are matched by DANE-EE(3) records. A host that publishes only DANE-TA(2) records gets mandatory
but unauthenticated TLS, and a warning says so: the chain it would be matched against is not
available here.
Missing: RFC 7672 section 3.1.2 (DANE-TA).

Standards: RFC 7672 (SMTP security via DANE) sections 2.1, 2.2 and 3.1.1; RFC 6698 section 2.1 (TLSA fields).
"""

import hashlib
import hmac
from dataclasses import dataclass, replace

from posthouse.dns.resolver import DnsRetry, Resolver
from posthouse.envelope.outcome import Dsn
from posthouse.host.log import ProcessLog
from posthouse.transport.smtp.hosts import Candidate
from posthouse.transport.smtp.tls_policy import TlsPolicy

DANE_TA, DANE_EE = 2, 3
DIGESTS = {1: "sha256", 2: "sha512"}


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def usable(self) -> bool:
        """RFC 7672 section 3.1: usages 2 and 3 only; RFC 6698 sections 2.1.2 and 2.1.3 for the others."""
        if self.usage not in (DANE_TA, DANE_EE) or self.selector not in (0, 1):
            return False
        digest = DIGESTS.get(self.matching)
        return bool(self.data) and (
            self.matching == 0 or (digest is not None and len(self.data) == hashlib.new(digest).digest_size)
        )


def parse_tlsa(text: str) -> Tlsa | None:
    """A record in presentation form, "3 1 1 HEX…"; None when it is none."""
    words = text.split()
    if len(words) < 4 or not all(word.isascii() and word.isdigit() for word in words[:3]):
        return None
    try:
        return Tlsa(int(words[0]), int(words[1]), int(words[2]), bytes.fromhex("".join(words[3:])))
    except ValueError:
        return None


def certificate_matches(der: bytes, records: tuple[Tlsa, ...]) -> bool:
    """Whether a DANE-EE record fits the server's certificate. Name and dates do not matter (RFC 7672 section 3.1.1)."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        key = x509.load_der_x509_certificate(der).public_key()
        forms = (der, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    except ValueError:
        forms = (der, b"")
    for record in records:
        if record.usage == DANE_EE and record.usable and forms[record.selector]:
            digest = DIGESTS.get(record.matching)
            form = forms[record.selector]
            found = form if digest is None else hashlib.new(digest, form).digest()
            if hmac.compare_digest(found, record.data):
                return True
    return False


async def apply_dane(policy: TlsPolicy, candidate: Candidate, resolver: Resolver, log: ProcessLog) -> TlsPolicy | Dsn:
    """What a policy dane or dane-only means for one host, or why the host cannot be used."""
    only = policy.level == "dane-only"
    if not candidate.authenticated:
        return Dsn("4.7.5", "non DNSSEC destination") if only else replace(policy, level="may")
    # RFC 7672 section 2.2.2: the name at the end of the CNAME chain first, then the name in the MX record.
    for name in dict.fromkeys((candidate.canonical_name or candidate.host, candidate.host)):
        try:
            answer = await resolver.query(f"_{candidate.port}._tcp.{name}", "TLSA")
        except DnsRetry:
            # RFC 7672 section 2.1.1: an attacker who can suppress the answer must not gain plain text.
            return Dsn("4.7.5", f"TLSA lookup error for {candidate.host}:{candidate.port}")
        if not answer.authenticated or not answer.records:
            continue
        records = tuple(
            record
            for record in (parse_tlsa(r.data) for r in answer.records if r.rtype == "TLSA")
            if record is not None and record.usable
        )
        if any(record.usage == DANE_EE for record in records):
            return replace(policy, level="dane", tlsa=records, servername=name)
        if records:
            log.warning(f"{candidate.host}:{candidate.port}: only DANE-TA(2) TLSA records: not authenticated")
        # RFC 7672 section 2.2: records that are all unusable still promise TLS.
        return replace(policy, level="encrypt", servername=name)
    return Dsn("4.7.5", "no TLSA records found") if only else replace(policy, level="may")
