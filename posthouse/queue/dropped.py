"""The maildrop's mail as rows of a listing (queue/row.py): it waits for pickup."""

from collections.abc import Iterator
from typing import Any

from posthouse.address.local_part import quote_address
from posthouse.host.maildrop import NotADrop, dropped, read_drop
from posthouse.queue.row import NULL_SENDER


def maildrop_rows(queue_directory: str) -> Iterator[dict[str, Any]]:
    """A row for each complete file. Nothing when the caller may not list the folder."""
    try:
        found = dropped(queue_directory)
    except OSError:
        return
    for one in found:
        try:
            submission, content = read_drop(one.path)
        except (NotADrop, OSError):
            continue  # pickup was faster, or it will complain
        yield {
            "queue_name": "maildrop",
            "queue_id": one.queue_id,
            "arrival_time": int(one.arrival_time),
            "message_size": len(content),
            "forced_expire": False,
            "sender": quote_address(submission.sender) or NULL_SENDER,
            "recipients": [{"address": quote_address(recipient.address)} for recipient in submission.recipients],
        }
