"""What policy says of a client, a sender, a recipient or a content, and why.

Every evaluation gives a Verdict with its Evidence; the live path writes both to the journal
and `posthouse explain` prints them (architecture.md section 4).
"""

from dataclasses import field
from enum import Enum

from posthouse.envelope.value import value


class Action(Enum):
    """The words of access(5) and of restriction lists."""

    DUNNO = "dunno"
    PERMIT = "permit"
    REJECT = "reject"
    DEFER = "defer"
    HOLD = "hold"
    DISCARD = "discard"
    REDIRECT = "redirect"
    FILTER = "filter"
    PREPEND = "prepend"
    BCC = "bcc"
    WARN = "warn"
    INFO = "info"


@value
class Evidence:
    """One reason: which word of which parameter, which table row, which DNS answer."""

    parameter: str = ""
    """The main.cf parameter whose value was obeyed, e.g. "smtpd_recipient_restrictions"."""
    origin: str = ""
    """"main.cf:12", "master.cf:9", or "default"."""
    restriction: str = ""
    """The word, e.g. "check_client_access hash:/etc/postfix/access"."""
    fact: str = ""
    """The table row, DNS answer or comparison that decided, e.g. "hash:/etc/postfix/access: 1.2.3 -> REJECT"."""


@value
class Verdict:
    """The outcome of one restriction list or one check."""

    action: Action
    code: int = 0
    """SMTP reply code for REJECT and DEFER; 0 otherwise."""
    status: str = ""
    """RFC 3463 status for REJECT and DEFER."""
    text: str = ""
    """Reply text without code and status, e.g. "<r@x>: Relay access denied"; the argument of other actions."""
    evidence: tuple[Evidence, ...] = field(default=())
    log_class: str = "reject"
    """The word in the log line: reject, reject_warning, hold, discard, redirect, filter, prepend, bcc, warn, info."""


DUNNO = Verdict(Action.DUNNO)
