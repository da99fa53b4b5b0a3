"""Where an account lies: <mail_store_directory>/<domain>/<two digits>/<local part>/.

Names come from the network and become file names: everything but a few harmless characters is
written as %XX, so two accounts never share a folder and none leaves the directory. The two
digits (a hash) keep a domain of a million accounts listable.
"""

import hashlib
import os
from pathlib import Path

DATABASE = "mailbox.db"
CONTENT = "content"
NOTICES = "notices"

_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_+-=.")
# NAME_MAX is 255 octets; a longer name is cut and told apart by its hash.
_NAME_LIMIT = 200


def fold_account(account: str) -> str:
    """One spelling per account: logins compare without case."""
    return account.lower()


def safe_name(name: str) -> str:
    """A file name for any string: never empty, never starting with a dot, injective."""
    octets = name.encode("utf-8", "surrogateescape")
    safe = "".join(chr(each) if each in _SAFE else f"%{each:02X}" for each in octets) or "%"
    if safe[0] == ".":
        safe = "%2E" + safe[1:]
    if len(safe) > _NAME_LIMIT:
        safe = safe[: _NAME_LIMIT - 34] + "%-" + hashlib.sha256(octets).hexdigest()[:32]
    return safe


def account_folder(directory: Path, account: str) -> Path:
    """The folder of an account; "%" stands for the domain of one that has none."""
    local_part, at, domain = fold_account(account).rpartition("@")
    if not at:
        local_part, domain = domain, ""
    digits = hashlib.sha256(local_part.encode("utf-8", "surrogateescape")).hexdigest()[:2]
    return directory / safe_name(domain) / digits / safe_name(local_part)


def remedy(account: str) -> str:
    """What an operator does about a damaged account."""
    return f" (see: posthouse mailbox repair {account})"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, mode 0700, each durable in the one above."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            continue  # another process came at the same time, and syncs
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
