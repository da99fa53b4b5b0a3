"""Lines of an SMTP session as a notice to postmaster shows them, whichever side we were."""

LINES_LIMIT = 1_000
"""Commands and replies of one session that are kept: what is said beyond them is more of the same."""


def without_secret(command: str) -> str:
    """A command; what follows AUTH and its mechanism is a secret (RFC 4954 section 4)."""
    words = command.split(None, 2)
    if len(words) == 3 and words[0].upper() == "AUTH":
        return f"{words[0]} {words[1]} (not shown)"
    return command


def printable(text: str) -> str:
    """A line without what a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)
