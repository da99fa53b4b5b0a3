"""TLS sessions of earlier connections, to go on with: a handshake without certificates and signatures.

smtp_tls_session_cache_database switches this on. Whatever file it names, sessions are kept in the memory of the
process that made them, until smtp_tls_session_cache_timeout or the end of the process: each mail worker has its own,
and a new one begins with none. One is only used for the same nexthop, host and address under the same policy,
trusted certificates included.

Standards: RFC 5246 section 7.3; RFC 8446 section 2.2 (resumption).
"""

import hashlib
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import TypedDict

from posthouse.host.log import ProcessLog
from posthouse.net.stream import Stream
from posthouse.transport.smtp.hosts import Candidate
from posthouse.transport.smtp.nexthop import Nexthop
from posthouse.transport.smtp.settings import SmtpSettings
from posthouse.transport.smtp.tls_policy import TlsPolicy

SESSIONS_LIMIT = 2000
"""Sessions kept, at some 5 KB each; the one unused longest goes first."""


class Wanted(TypedDict, total=False):
    """What start_tls() is given of it."""

    session: ssl.SSLSession


class TlsSessions:
    """The sessions of one transport."""

    def __init__(self, settings: SmtpSettings, log: ProcessLog, clock: Callable[[], float], service: str) -> None:
        self._lifetime = settings.smtp_tls_session_cache_timeout if settings.smtp_tls_session_cache_database else 0
        self._telling = settings.smtp_tls_loglevel.isdigit() and int(settings.smtp_tls_loglevel) > 1
        self._log = log
        self._clock = clock
        self._service = service
        self._kept: OrderedDict[str, tuple[float, ssl.SSLSession]] = OrderedDict()

    def _key(self, nexthop: Nexthop, candidate: Candidate, policy: TlsPolicy) -> str:
        """In the form of Postfix's log: service, nexthop, host, address, and a digest of what must be the same."""
        digest = hashlib.sha256(repr((policy, candidate.port, candidate.unix)).encode("utf-8", "surrogateescape"))
        where = f"{self._service}&{nexthop.text}&{candidate.host}&{candidate.address}"
        return f"{where}&&{digest.hexdigest().upper()}"

    def _tell(self, text: str) -> None:
        if self._telling:
            self._log.info(f"{text} {self._service} cache")

    def find(self, nexthop: Nexthop, candidate: Candidate, policy: TlsPolicy) -> Wanted:
        """What to go on with."""
        if self._lifetime <= 0:
            return {}
        key = self._key(nexthop, candidate, policy)
        self._tell(f"looking for session {key} in")
        expires, session = self._kept.get(key, (0.0, None))
        if session is None:
            return {}
        if expires <= self._clock():
            del self._kept[key]
            return {}
        self._kept.move_to_end(key)
        self._tell(f"reloaded session {key} from")
        return {"session": session}

    def keep(self, nexthop: Nexthop, candidate: Candidate, policy: TlsPolicy, stream: Stream) -> None:
        """Keep the session of a connection in use for the next one."""
        info = stream.tls
        if self._lifetime <= 0 or info is None:
            return
        key = self._key(nexthop, candidate, policy)
        session = stream.tls_session()
        if session is None or (key in self._kept and self._kept[key][1].id == session.id):
            return  # no new ticket came: the old one does not grow younger
        self._kept[key] = (self._clock() + self._lifetime, session)
        self._kept.move_to_end(key)
        while len(self._kept) > SESSIONS_LIMIT:
            self._kept.popitem(last=False)
        self._tell(f"save session {key} to")

    def forget(self, nexthop: Nexthop, candidate: Candidate, policy: TlsPolicy) -> None:
        """The handshake failed, or the certificate was not good: begin anew next time."""
        if self._kept:
            self._kept.pop(self._key(nexthop, candidate, policy), None)
