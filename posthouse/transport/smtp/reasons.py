"""Why a delivery failed, in Postfix's words, as Dsn values.

Standards: RFC 3463 (status codes); RFC 3464 section 2.3.6 (diagnostic codes).
"""

from posthouse.envelope.outcome import Dsn
from posthouse.transport.smtp.transcript import Transcript
from posthouse.wire.smtp.reply import Reply


def said(reply: Reply) -> str:
    """The reply as one line, unprintable characters as "?"."""
    text = " ".join(reply.lines()).rstrip()
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def remote(reply: Reply, host: str, reason: str, *, status: str = "") -> Dsn:
    """A reason whose diagnostic is the server's reply. `status` overrides the reply's."""
    return Dsn(status or reply.enhanced_status, reason, "", "smtp", said(reply), "dns", host)


def refused(reply: Reply, label: str, host: str, command: str) -> Dsn:
    """ "host H[A] said: 550 … (in reply to RCPT TO command)"."""
    status = failed_status(reply)
    reason = f"host {label} said: {said(reply)} (in reply to {command})"
    if reply.code // 100 == 2:
        reason = f"Protocol error: {reason}"
    return remote(reply, host, reason, status=status)


def failed_status(reply: Reply) -> str:
    """The status of a reply that made something fail. RFC 3463 section 3.6: 5.5.0 is "other or undefined protocol
    status", for a code that cannot be there."""
    status = reply.enhanced_status
    return status if reply.code // 100 in (4, 5) else "5.5.0"


def soften(dsn: Dsn) -> Dsn:
    """The same reason as one that may pass."""
    if not dsn.status.startswith("5"):
        return dsn
    return Dsn(
        "4" + dsn.status[1:],
        dsn.reason,
        dsn.action,
        dsn.diagnostic_type,
        dsn.diagnostic,
        dsn.remote_mta_type,
        dsn.remote_mta,
    )


class SiteFailed(Exception):
    """This host will not do now: connect, greeting, TLS or login went wrong, or the connection broke."""

    def __init__(self, dsn: Dsn) -> None:
        super().__init__(dsn.reason)
        self.dsn = dsn
        self.transcript: Transcript | None = None
        """What was said, where the connection had got no further."""


class TlsRejected(SiteFailed):
    """TLS went wrong on the way: where it is only opportunistic, the same host is tried once more without."""
