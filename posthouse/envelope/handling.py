"""What policy wants done with a whole message besides accepting it."""

from dataclasses import field

from posthouse.envelope.value import value


@value
class Handling:
    """Gathered from access tables, checks and policy servers; the last redirect and filter count."""

    hold: str = ""
    """Why it goes to HOLD, or ""."""
    discard: str = ""
    """Why it is accepted and thrown away, or ""."""
    redirect: str = ""
    content_filter: str = ""
    prepend: tuple[bytes, ...] = field(default=())
    """Fields without CRLF."""
    bcc: tuple[str, ...] = field(default=())


NO_HANDLING = Handling()
