"""The manual pages of a take-over: `man postconf` shows ours while the commands are ours.

Links to them lie where man(1) looks before it looks at the packages' pages: below /usr/local/share/man. Nothing of the
postfix package moves.
"""

import os
from collections.abc import Iterator

SYSTEM = "/usr/local/share/man"

SECTIONS = ("man1", "man5", "man8")

NOT_TAKEN = frozenset({"mail.1", "mailx.1"})
"""Pages of commands whose place is not taken."""


def own_pages(prefix: str) -> str:
    """The folder of our pages, beside that of our commands; "" for an installation without pages."""
    folder = os.path.join(os.path.dirname(prefix), "share", "man")
    return folder if os.path.isfile(os.path.join(folder, "man1", "postconf.1")) else ""


def link_pages(system: str, ours: str) -> None:
    """Make the links. Pages that somebody has put there himself stay. Twice is once."""
    for link, page in _links(system, ours):
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if not os.path.lexists(link):
            os.symlink(page, link)


def unlink_pages(system: str, ours: str) -> None:
    """Remove the links, also when some of the pages are gone."""
    for section in SECTIONS:
        folder = os.path.join(system, section)
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            link = os.path.join(folder, name)
            if os.path.islink(link) and os.readlink(link) == os.path.join(ours, section, name):
                os.unlink(link)
        try:
            os.rmdir(folder)
        except OSError:
            pass  # somebody else's pages are in it


def _links(system: str, ours: str) -> Iterator[tuple[str, str]]:
    for section in SECTIONS:
        folder = os.path.join(ours, section)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if name.endswith(section[-1]) and name not in NOT_TAKEN:
                yield os.path.join(system, section, name), os.path.join(folder, name)
