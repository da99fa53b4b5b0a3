"""The log lines of deliveries, in Postfix's words.

    QID: to=<r>[, orig_to=<o>], relay=…[, conn_use=N], delay=…, delays=a/b/c/d, dsn=x.y.z, status=sent (…)

delays: before the schedule, in the schedule, connection set-up, transmission.
"""

from posthouse.address.local_part import quote_address
from posthouse.host.delay import format_delay as format_delay


def delivery_line(
    queue_id: str,
    recipient: str,
    original: str,
    relay: str,
    delay: float,
    delays: tuple[float, float, float, float],
    uses: int,
    status: str,
    word: str,
    reason: str,
    resolution: int = 2,
) -> str:
    """One recipient's line."""
    orig_to = f", orig_to=<{_quoted(original)}>" if original and original != recipient else ""
    parts = "/".join([format_delay(part, resolution) for part in delays])
    conn_use = f", conn_use={uses}" if uses > 1 else ""
    return (
        f"{queue_id}: to=<{quote_address(recipient)}>{orig_to}, relay={relay}{conn_use}, "
        f"delay={format_delay(delay, resolution)}, delays={parts}, dsn={status}, status={word} ({reason})"
    )


def _quoted(address: str) -> str:
    """In external form; a source route before it stays as it was given."""
    route, colon, routed = address.partition(":")
    return f"{route}:{quote_address(routed)}" if colon and route[:1] == "@" else quote_address(address)
