"""The time of day as Received and Date fields want it, made once a second."""

import time

from posthouse.message.date import format_date


class DateStamp:
    """Formats a time in this machine's zone."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, epoch: float) -> str:
        """`Tue, 24 Nov 2026 03:13:16 +0000 (UTC)`."""
        second = int(epoch)
        if second != self._second:
            local = time.localtime(second)
            self._text = format_date(second, local.tm_gmtoff, local.tm_zone)
            self._second = second
        return self._text
