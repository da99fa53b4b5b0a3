"""The letters of the story: how each is sent from desktop12, and where it must arrive."""

import imaplib
import poplib
import ssl
from dataclasses import dataclass
from pathlib import Path

from posthouse.testkit.site import SERVER, Site

TIMEOUT = 5.0
"""Seconds for one look into a mailbox."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter."""

    subject: str
    argv: tuple[str, ...]
    """A command of ours and its arguments."""
    typed: bytes
    shown: str
    """As one would type it."""
    where: str
    """For people."""
    place: str
    """"imap:login:password", "pop3:login:password"."""


def letters(site: Site) -> tuple[Letter, ...]:
    """The sandbox's letters."""
    return (
        Letter(
            "from desktop",
            ("mail", "-s", "from desktop", "bob@tony.test"),
            b"haha\n",
            "echo haha | mail -s 'from desktop' bob@tony.test",
            "bob's mbox, read by IMAP",
            "imap:bob:bobspw",
        ),
        Letter(
            "by sendmail",
            ("sendmail", "-t"),
            b"To: Alice <alice@tony.test>\nSubject: by sendmail\n\nTo a Maildir.\n",
            "sendmail -t   (To: Alice <alice@tony.test>)",
            "alice's Maildir, read by POP3",
            "pop3:alice:alicespw",
        ),
        Letter(
            "to a virtual account",
            ("mail", "-s", "to a virtual account", "joe@virt.tony.test"),
            b"The native store.\n",
            "mail -s 'to a virtual account' joe@virt.tony.test",
            "joe's account in the native store, read by IMAPS",
            "imaps:joe@virt.tony.test:joespw",
        ),
        Letter(
            "Undelivered",
            ("sendmail", "-f", "bob@tony.test", "nobody.here@tony.test"),
            b"Subject: to nobody\n\nThis comes back.\n",
            "sendmail -f bob@tony.test nobody.here@tony.test",
            "a notice in bob's mbox, read by POP3S",
            "pop3s:bob:bobspw",
        ),
    )


def read_back(site: Site, letter: Letter) -> bool:
    """Whether the letter can be read where it should be. Blocks."""
    protocol, login, password = letter.place.split(":", 2)
    try:
        found = _imap if protocol.startswith("imap") else _pop3
        return any(
            letter.subject in header
            for header in found(site, login, password, site.server.configuration / "cert.pem", protocol.endswith("s"))
        )
    except (OSError, imaplib.IMAP4.error, poplib.error_proto):
        return False


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    return context


def _imap(site: Site, login: str, password: str, certificate: Path, wrapped: bool) -> list[str]:
    context = _context(certificate)
    client: imaplib.IMAP4
    if wrapped:
        client = imaplib.IMAP4_SSL(SERVER, site.ports[993], ssl_context=context, timeout=TIMEOUT)
    else:
        client = imaplib.IMAP4(SERVER, site.ports[143], timeout=TIMEOUT)
        client.starttls(context)
    with client:
        client.login(login, password)
        client.select("INBOX", readonly=True)
        _, numbers = client.search(None, "ALL")
        headers: list[str] = []
        for number in numbers[0].split():
            _, data = client.fetch(number.decode(), "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            headers += [part[1].decode("utf-8", "replace") for part in data if isinstance(part, tuple)]
        return headers


def _pop3(site: Site, login: str, password: str, certificate: Path, wrapped: bool) -> list[str]:
    context = _context(certificate)
    client: poplib.POP3
    if wrapped:
        client = poplib.POP3_SSL(SERVER, site.ports[995], context=context, timeout=TIMEOUT)
    else:
        client = poplib.POP3(SERVER, site.ports[110], timeout=TIMEOUT)
        client.stls(context)
    client.user(login)
    client.pass_(password)
    count, _ = client.stat()
    headers = [b"\n".join(client.top(number, 0)[1]).decode("utf-8", "replace") for number in range(1, count + 1)]
    client.quit()
    return headers
