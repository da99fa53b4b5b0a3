"""Dates of commands and responses.

    date      = date-text / DQUOTE date-text DQUOTE        date-text = 1*2DIGIT "-" month "-" 4DIGIT
    date-time = DQUOTE date-day-fixed "-" month "-" 4DIGIT SP time SP zone DQUOTE

Moments leave in UTC: a stored message keeps when it came, not where the clock hung.

Standards: RFC 3501 section 9.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

from posthouse.wire.imap.error import ImapSyntaxError

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = {name.lower().encode(): number for number, name in enumerate(MONTHS, 1)}

_DATE = re.compile(rb"\A([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\Z")
_DATE_TIME = re.compile(
    rb"\A([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})\Z"
)
# RFC 5322 section 3.3, and what came before it: only the day counts for SENTON and its like.
_HEADER_DAY = re.compile(rb"(?:\A|[ ,\t])([0-9]{1,2})[ \t-]+([A-Za-z]{3})[a-z]*[ \t-]+([0-9]{2,4})(?![0-9])")


def parse_date(text: bytes) -> date:
    """A day. Raises ImapSyntaxError."""
    match = _DATE.match(text)
    month = _MONTH.get(match[2].lower()) if match is not None else None
    if match is None or month is None:
        raise ImapSyntaxError("Invalid date")
    try:
        return date(int(match[3]), month, int(match[1]))
    except ValueError:
        raise ImapSyntaxError("Invalid date") from None


def parse_date_time(text: bytes) -> float:
    """Seconds since the epoch. Raises ImapSyntaxError."""
    match = _DATE_TIME.match(text)
    month = _MONTH.get(match[2].lower()) if match is not None else None
    if match is None or month is None:
        raise ImapSyntaxError("Invalid internal date")
    minutes = int(match[8]) * 60 + int(match[9])
    try:
        zone = timezone(timedelta(minutes=-minutes if match[7] == b"-" else minutes))
        second = min(int(match[6]), 59)  # a leap second is the one before it
        moment = datetime(int(match[3]), month, int(match[1]), int(match[4]), int(match[5]), second, tzinfo=zone)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise ImapSyntaxError("Invalid internal date") from None


def format_date_time(epoch: float) -> bytes:
    """INTERNALDATE with its quotes, in UTC."""
    days, seconds = divmod(int(epoch), 86_400)
    minutes, second = divmod(seconds, 60)
    return b'"%b %02d:%02d:%02d +0000"' % (_format_day(days), *divmod(minutes, 60), second)


@lru_cache(maxsize=1024)
def _format_day(days: int) -> bytes:
    """The day so many days after 1970 began; of what lies outside datetime's years, the first."""
    moment = moment_of(days * 86_400)
    return f"{moment.day:2d}-{MONTHS[moment.month - 1]}-{moment.year:04d}".encode("ascii")


def moment_of(epoch: float) -> datetime:
    """The moment in UTC; what lies outside datetime's years is the epoch."""
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def header_day(value: bytes) -> date | None:
    """The day in a Date field's value, its zone disregarded (RFC 3501 section 6.4.4), or None."""
    match = _HEADER_DAY.search(value[:200])
    month = _MONTH.get(match[2].lower()) if match is not None else None
    if match is None or month is None:
        return None
    year = int(match[3])
    if len(match[3]) == 2:
        year += 2000 if year < 50 else 1900  # RFC 5322 section 4.3
    elif len(match[3]) == 3:
        year += 1900
    try:
        return date(year, month, int(match[1]))
    except ValueError:
        return None
