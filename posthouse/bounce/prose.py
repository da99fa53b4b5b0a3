"""What a notice says to people. The wording is Posthouse's own.

No line may start with "<" or "--": what follows the prose does.
"""

from enum import Enum


class Kind(Enum):
    """What a notice is about. Value: its subject."""

    FAILURE = "Undelivered Mail Returned to Sender"
    DELAY = "Delayed Mail (still being retried)"
    SUCCESS = "Successful Mail Delivery Report"
    VERIFY = "Mail Delivery Status Report"


POSTMASTER_SUBJECT = {
    Kind.FAILURE: "Postmaster Copy: Undelivered Mail",
    Kind.DELAY: "Postmaster Warning: Delayed Mail",
}
"""Subjects of the copies that notify_classes orders."""

_FAILURE = """\
The mail server {host} could not deliver your message to everybody
you addressed it to, and it has stopped trying.

Below you find who did not get it, and why. The message, or its header,
is enclosed.

Should the reasons leave you in doubt, write to postmaster at this
server's domain and enclose this notice; your own text may be left out.
"""

_DELAY = """\
You need not do anything, and you need not send your message again:
this only tells you that it is late.

The mail server {host} has tried for {waited} to deliver your
message to the recipients below. It goes on trying until the message is
{lifetime} old; if that is in vain, you will be told.
"""

_SUCCESS = """\
You asked to be told: the mail server {host} has delivered your
message to the recipients below, or has handed it to another server that
sends no such reports. In the second case a failure further on may still
be reported to you.
"""

_VERIFY = """\
This is the report that you asked for: what the mail server {host}
found out about the recipients below.
"""

_TEXTS = {Kind.FAILURE: _FAILURE, Kind.DELAY: _DELAY, Kind.SUCCESS: _SUCCESS, Kind.VERIFY: _VERIFY}


def span(seconds: int) -> str:
    """A time in the largest unit that fits it: "4 hours", "1 day", "90 seconds"."""
    for length, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds and seconds % length == 0:
            number = seconds // length
            return f"{number} {name}" + ("" if number == 1 else "s")
    return f"{seconds} seconds"


def prose(kind: Kind, host: str, *, waited: int = 0, lifetime: int = 0) -> str:
    """The text before the recipients, lines ended by LF."""
    return _TEXTS[kind].format(host=host, waited=span(waited), lifetime=span(lifetime))


def prose_template(kind: Kind) -> str:
    """The same as bounce_template_file would have it, with parameters for what depends on the host."""
    return _TEXTS[kind].format(
        host="$myhostname",
        waited="$delay_warning_time_hours hour(s)",
        lifetime="$maximal_queue_lifetime_days day(s)",
    )
