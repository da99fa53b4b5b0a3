"""DANE: which certificate a server must show, as its zone says under DNSSEC.

Only answers that DNSSEC vouches for count, the whole way: MX, address and TLSA. Certificates are matched by
DANE-EE(3) records here, and by DANE-TA(2) records in dane_chain.py.

Standards: RFC 7672 (SMTP security via DANE) sections 2.1, 2.2, 3.1 and 3.2; RFC 7671 section 9 (digests); RFC 6698
section 2.1 (TLSA fields).
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from posthouse.dns.resolver import DnsRetry, Resolver
from posthouse.envelope.outcome import Dsn
from posthouse.host.log import ProcessLog
from posthouse.transport.smtp.hosts import Candidate
from posthouse.transport.smtp.nexthop import Nexthop
from posthouse.transport.smtp.tls_policy import TlsPolicy

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

DANE_TA, DANE_EE = 2, 3
DIGESTS = {1: "sha256", 2: "sha512"}


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex().upper()}"

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


def record_fits(record: Tlsa, certificate: "Certificate") -> bool:
    """Whether a record has this certificate, or its key, whatever it is used for."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if record.selector == 0:
        form = certificate.public_bytes(Encoding.DER)
    else:
        try:
            form = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except ValueError:  # a kind of key that the library does not know
            return False
    digest = DIGESTS.get(record.matching)
    found = form if digest is None else hashlib.new(digest, form).digest()
    return record.usable and hmac.compare_digest(found, record.data)


def certificate_matches(der: bytes, records: Sequence[Tlsa]) -> bool:
    """Whether a DANE-EE record fits the server's certificate. Name and dates do not matter (RFC 7672 section 3.1.1)."""
    from cryptography.x509 import load_der_x509_certificate

    try:
        certificate = load_der_x509_certificate(der)
    except ValueError:
        return False
    return any(record.usage == DANE_EE and record_fits(record, certificate) for record in records)


def strongest(records: Sequence[Tlsa], digests: Sequence[str]) -> tuple[Tlsa, ...]:
    """RFC 7671 section 9, digest agility: of the digests that a usage and selector come with, only the best counts, so
    that an old, weak one does not stay good enough. `digests` are tls_dane_digests, best first; whole values always
    count."""
    order = [number for word in digests for number, name in DIGESTS.items() if name == word.lower()]
    best: dict[tuple[int, int], int] = {}
    for record in records:
        if record.matching in order:
            key = (record.usage, record.selector)
            best[key] = min(best.get(key, len(order)), order.index(record.matching))
    return tuple(
        r
        for r in records
        if r.matching == 0 or (r.matching in order and order.index(r.matching) == best[r.usage, r.selector])
    )


def _unsupported(record: Tlsa, digests: Sequence[str]) -> str:
    """Which field of a record nobody here knows."""
    if record.usage not in (DANE_TA, DANE_EE):
        return "certificate usage"
    if record.selector not in (0, 1):
        return "selector"
    return "" if record.matching == 0 or DIGESTS.get(record.matching) in digests else "matching type"


class Dane:
    """What dane and dane-only mean for a host."""

    def __init__(self, resolver: Resolver, digests: Sequence[str], log: ProcessLog) -> None:
        """`digests` are tls_dane_digests."""
        self._resolver = resolver
        self._digests = tuple(word.lower() for word in digests)
        self._log = log

    async def apply(self, policy: TlsPolicy, candidate: Candidate, nexthop: Nexthop) -> TlsPolicy | Dsn:
        """The policy for one host, or why the host cannot be used."""
        only = policy.level == "dane-only"
        if not candidate.authenticated:
            return self._without(policy, candidate, nexthop, "non DNSSEC destination")
        # RFC 7672 section 2.2.2: the name at the end of the CNAME chain first, then the name in the MX record.
        for name in dict.fromkeys((candidate.canonical_name or candidate.host, candidate.host)):
            owner = f"_{candidate.port}._tcp.{name}"
            try:
                answer = await self._resolver.query(owner, "TLSA")
            except DnsRetry:
                # RFC 7672 section 2.1.1: an attacker who can suppress the answer must not gain plain text.
                return Dsn("4.7.5", f"TLSA lookup error for {candidate.host}:{candidate.port}")
            if not answer.authenticated or not answer.records:
                continue
            found = [r for r in (parse_tlsa(r.data) for r in answer.records if r.rtype == "TLSA") if r is not None]
            known = [record for record in found if not self._refused(record, owner)]
            if not known:
                if only:
                    return self._without(policy, candidate, nexthop, "TLSA records unusable")
                # RFC 7672 section 2.2: records that are all unusable still promise TLS.
                return replace(policy, level="encrypt", servername=name)
            usable = [record for record in known if record.usable]
            for record in known:
                if not record.usable:
                    self._log.warning(f"{candidate.relay}: unusable TLSA RR: {record}")
            if not usable:
                fallback = "" if only else ", fallback to unauthenticated TLS"
                self._log.warning(f"{candidate.relay}: all TLSA records unusable{fallback}")
                if not only:
                    return replace(policy, level="encrypt", servername=name)
            # RFC 7672 section 3.2.2: the names that a certificate under a trust anchor may have.
            names = (name, nexthop.host, candidate.canonical_domain) if nexthop.use_mx else (name,)
            match = tuple(dict.fromkeys(word.lower() for word in names if word))
            records = strongest(usable, self._digests)
            return replace(policy, level="dane", tlsa=records, match=match, servername=name)
        return self._without(policy, candidate, nexthop, "no TLSA records found")

    def _refused(self, record: Tlsa, owner: str) -> bool:
        field = _unsupported(record, self._digests)
        if field:
            self._log.warning(f"{owner} unsupported TLSA {field}: {record}")
        return bool(field)

    def _without(self, policy: TlsPolicy, candidate: Candidate, nexthop: Nexthop, reason: str) -> TlsPolicy | Dsn:
        """No DANE here: opportunistic TLS, or mail that waits."""
        if policy.level != "dane-only":
            return replace(policy, level="may")
        self._log.warning(f"TLS policy lookup for {nexthop.text}/{candidate.host}: {reason}")
        return Dsn("4.7.5", reason)
