"""Dates of header fields and the stamps in message ids.

Standards: RFC 5322 section 3.3.
"""

from datetime import UTC, datetime, timedelta, timezone

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def format_date(epoch: float, offset: int = 0, zone: str = "UTC") -> str:
    """`Tue, 24 Nov 2026 03:13:16 +0000 (UTC)`; offset in seconds east of Greenwich. The day is not zero-filled."""
    moment = datetime.fromtimestamp(int(epoch), timezone(timedelta(seconds=offset)))
    sign, minutes = ("-", -offset // 60) if offset < 0 else ("+", offset // 60)
    text = (
        f"{_DAYS[moment.weekday()]}, {moment.day:2d} {_MONTHS[moment.month - 1]} {moment.year:04d} "
        f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} {sign}{minutes // 60:02d}{minutes % 60:02d}"
    )
    return f"{text} ({zone})" if zone else text


def compact_stamp(epoch: float) -> str:
    """`20261124031316`, in UTC."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y%m%d%H%M%S")


def message_id(epoch: float, queue_id: str, hostname: str, *, long_queue_ids: bool = False) -> str:
    """The id made for a message that came without one; RFC 5322 section 3.6.4. Long queue ids hold the time already."""
    return f"<{queue_id}@{hostname}>" if long_queue_ids else f"<{compact_stamp(epoch)}.{queue_id}@{hostname}>"
