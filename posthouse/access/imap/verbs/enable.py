"""ENABLE.

Standards: RFC 5161; RFC 7162 section 3.2.3.
"""

from posthouse.access.imap.session import Done, ImapSession
from posthouse.wire.imap.reader import Command


async def enable(session: ImapSession, command: Command) -> Done:
    """ENABLE: what is not known is passed over."""
    cursor = command.cursor
    enabled: list[str] = []
    while not cursor.at_end():
        cursor.space()
        if cursor.at_end():
            break
        word = cursor.word("capability")
        if word in ("CONDSTORE", "QRESYNC") and word not in enabled:
            enabled.append(word)
    session.send(" ".join(["* ENABLED", *enabled]).encode("ascii") + b"\r\n")
    if enabled:
        session.enable_condstore()
    if "QRESYNC" in enabled:
        session.qresync = True
    return Done("OK", "Enabled.")
