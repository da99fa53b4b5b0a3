"""The envelope of a message: who sent it, who gets it, and what the sender asked to be told.

Addresses are str without angle brackets; bytes that are no UTF-8 live in them as
surrogates (PEP 383), so that nothing a client sent is lost. The null path is "".

Standards: RFC 5321 sections 2.3.1 and 4.1.1.2; RFC 3461 (DSN); RFC 6531 (SMTPUTF8).
"""

from enum import IntEnum, IntFlag

from posthouse.envelope.value import value


class Notify(IntFlag):
    """RFC 3461 section 4.1: NOTIFY. NONE means that the sender said nothing."""

    NONE = 0
    NEVER = 1
    SUCCESS = 2
    FAILURE = 4
    DELAY = 8


class Trace(IntEnum):
    """What the sender asked to be told of the first delivery attempt, apart from NOTIFY."""

    NONE = 0
    RECORD = 1
    """sendmail -v: deliver, and report what became of it."""
    VERIFY = 2
    """sendmail -bv: report what would become of it, and deliver nothing."""


@value
class Recipient:
    """One recipient: the address as it stands now, and as it was first given."""

    address: str
    original: str = ""
    """original_recipient: as first given. "" when enable_original_recipient is off or it was made here."""
    notify: Notify = Notify.NONE
    orcpt: str = ""
    """RFC 3461 section 4.2: "rfc822;xtext" as the client gave it, or ""."""


@value
class Client:
    """Where a message came from, as Postfix's client_* and sasl_* attributes tell it."""

    name: str = "localhost"
    """"unknown" when the name could not be verified."""
    address: str = "127.0.0.1"
    port: str = ""
    reverse_name: str = "localhost"
    helo: str = ""
    protocol: str = ""
    """SMTP, ESMTP, LMTP, or "" for mail that came through the maildrop or was made here."""
    sasl_method: str = ""
    sasl_username: str = ""
    sasl_sender: str = ""


LOCAL_CLIENT = Client()


@value
class Envelope:
    """What travels beside the content of one message."""

    sender: str
    recipients: tuple[Recipient, ...]
    client: Client = LOCAL_CLIENT
    local_rewrite: bool = True
    """rewrite_context: True "local" (headers are completed with our domain), False "remote"."""
    ret: str = ""
    """RFC 3461 section 4.3: "FULL", "HDRS" or ""."""
    envid: str = ""
    """RFC 3461 section 4.4, as xtext, or ""."""
    smtputf8: bool = False
    body: str = ""
    """"7BIT", "8BITMIME" or "" when the client said nothing."""
    verp: str = ""
    """The two VERP delimiters, or ""."""
    trace: Trace = Trace.NONE
