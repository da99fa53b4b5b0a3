"""mailq's table and postqueue -j's lines, from rows (queue/row.py)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from posthouse.wire.json_text import spaced_json

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any

SHORT = ("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------", 11, 7, 20, 41)
LONG = ("----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------", 17, 8, 19, 47)
"""Heading; widths of id, size and date; the column before recipients. LONG goes with enable_long_queue_ids."""

REASON_WIDTH = 76
"""Reasons end at column 78 with their parentheses, or go beyond it."""

MARKS = {"active": "*", "hold": "!"}


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)


def table_lines(rows: Iterable[dict[str, Any]], *, long_ids: bool) -> Iterator[str]:
    """mailq's output, line by line, as the rows come."""
    heading, id_width, size_width, date_width, column = LONG if long_ids else SHORT
    count = size = 0
    for row in rows:
        if not count:
            yield heading
        count += 1
        size += row["message_size"]
        mark = MARKS.get(row["queue_name"], "") + ("#" if row["forced_expire"] else "")
        date = (time.strftime("%a %b %e %H:%M:%S", time.localtime(row["arrival_time"])) + " ")[:date_width]
        yield (
            f"{row['queue_id'] + mark:<{id_width}} {row['message_size']:>{size_width}} {date:>{date_width}}"
            f" {_printable(row['sender'])}"
        )
        said = ""
        for recipient in row["recipients"]:
            reason = recipient.get("delay_reason", "")
            if reason != said:
                said = reason
                if reason:
                    yield f"{'':{max(REASON_WIDTH - len(reason), 0)}}({_printable(reason)})"
            yield f"{'':{column}}{_printable(recipient['address'])}"
        yield ""
    if not count:
        yield "Mail queue is empty"
    else:
        yield f"-- {size // 1024} Kbytes in {count} Request{'' if count == 1 else 's'}."


def json_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """postqueue -j's output."""
    for row in rows:
        yield spaced_json(row)
