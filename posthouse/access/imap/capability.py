"""What is announced, before and after login. Only what works is in it.

Standards: RFC 3501 section 6.1.1 and the RFC of each word.
"""

from posthouse.access.imap.settings import ImapdSettings

ALWAYS = ("IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE", "IDLE")

AFTER_LOGIN = (
    "NAMESPACE",
    "CHILDREN",
    "UIDPLUS",
    "UNSELECT",
    "MOVE",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "STATUS=SIZE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "MULTIAPPEND",
    "CONDSTORE",
    "QRESYNC",
    "OBJECTID",
    "SAVEDATE",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
)


def before_login(settings: ImapdSettings, *, tls: bool, starttls: bool, mechanisms: tuple[str, ...]) -> str:
    """Before anyone has logged in."""
    words = [*ALWAYS]
    if starttls and not tls:
        words.append("STARTTLS")
    if settings.tls_required and not tls:
        words.append("LOGINDISABLED")
    else:
        words += [f"AUTH={name}" for name in mechanisms]
    return " ".join(words)


def after_login(settings: ImapdSettings) -> str:
    """After login."""
    words = [*ALWAYS, *AFTER_LOGIN]
    if settings.imapd_append_limit:
        words.append(f"APPENDLIMIT={settings.imapd_append_limit}")
    return " ".join(words)
