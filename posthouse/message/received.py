"""The Received field of mail that was made on this machine, in Postfix's form, with its CRLF.

Standards: RFC 5321 section 4.4.
"""


def received_local(*, hostname: str, mail_name: str, queue_id: str, date: str, uid: int | None = None) -> bytes:
    """What pickup prepends (with the uid of who submitted), and bounces and forwards (without)."""
    origin = mail_name if uid is None else f"{mail_name}, from userid {uid}"
    text = f"Received: by {hostname} ({origin})\r\n\tid {queue_id}; {date}\r\n"
    return text.encode("utf-8", "surrogateescape")
