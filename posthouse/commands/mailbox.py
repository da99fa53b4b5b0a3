"""posthouse mailbox - look after accounts of the native store.

    posthouse mailbox check ACCOUNT...          compare SQLite's own check, counters, contents and files
    posthouse mailbox repair ACCOUNT...         put counters right; make a damaged database anew from what can be read
    posthouse mailbox backup ACCOUNT FOLDER     a copy that is sound as of one moment, while the account is in use

check and backup may run at any time; repair of a damaged database wants the account closed. Started as root, each
works with the rights of whom the account's folder belongs to. The mail of system users is files: their index
(posthouse.db in a Maildir, ~/.posthouse/NAME.db of an mbox) may be deleted, and is made anew.

Exit status: 0 when all is well, 1 when something was found, or an account is not there.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from posthouse.config.read import read_configuration
from posthouse.mailbox.native.backup import back_up
from posthouse.mailbox.native.layout import DATABASE, account_folder
from posthouse.mailbox.native.ledger import LEDGER
from posthouse.mailbox.native.recovery import recover
from posthouse.mailbox.native.salvage import salvage
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.native.verify import Verification, verify_account
from posthouse.mailbox.store import MailboxFault


def _say(text: str) -> None:
    print(text, flush=True)


def _verify(directory: Path, account: str, *, repair: bool) -> Verification:
    async def run() -> Verification:
        store = NativeMailStore(directory, threads=1)
        try:
            return await verify_account(store, account, repair=repair)
        finally:
            await store.close()

    return asyncio.run(run())


def _check(directory: Path, account: str) -> bool:
    try:
        found = _verify(directory, account, repair=False)
    except MailboxFault as fault:
        _say(f"{account}: {fault}")
        return False
    for problem in found.problems:
        _say(f"{account}: {problem}")
    if not found.problems:
        _say(f"{account}: {found.messages} messages, sound")
    return not found.problems


def _repair(directory: Path, account: str) -> bool:
    try:
        found = _verify(directory, account, repair=True)
        damaged = any(not _is_a_count(problem) for problem in found.problems)
    except MailboxFault as fault:
        _say(f"{account}: {fault}")
        damaged = True
    else:
        for problem in found.problems:
            _say(f"{account}: {problem}")
    if not damaged:
        return _check(directory, account)
    try:
        done = salvage(account_folder(directory, account), account)
    except MailboxFault as fault:
        _say(f"{account}: not repaired: {fault}")
        return False
    for line in done.lost:
        _say(f"{account}: {line}")
    if done.recovered:
        _say(f'{account}: {done.recovered} messages whose mailbox is not known are in "Recovered"')
    _say(f"{account}: {done.messages} messages kept; the damaged file is in {done.kept}")
    _verify(directory, account, repair=True)
    return _check(directory, account)


def _is_a_count(problem: str) -> bool:
    """What verify puts right by itself, or what a file from a backup would: nothing that needs a new database."""
    return any(
        word in problem for word in ("should be", "is not below the next", "is above the mailbox's", "content file")
    )


def _as_owner(folder: Path, work: Callable[[], bool]) -> bool:
    """Run with the rights of the account's owner: what is made must be his. In a child: others' may follow."""
    status = folder.stat()
    if os.geteuid() != 0 or status.st_uid == 0:
        return work()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(status.st_gid)
            os.setuid(status.st_uid)
            code = 0 if work() else 1
        except (OSError, MailboxFault) as error:
            _say(str(error))
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def main(directory: str, verb: str, accounts: tuple[str, ...], target: str = "") -> int:
    """One verb over accounts."""
    store = Path(read_configuration(directory).value("mail_store_directory"))
    well = True
    if verb == "backup" and (store / LEDGER).is_dir():
        well = _as_owner(store / LEDGER, partial(_recover, store))
    for account in accounts:
        folder = account_folder(store, account)
        if not folder.is_dir():
            _say(f"{account}: no such account in {store}")
            well = False
            continue
        if verb == "backup":
            well = _backup(folder, account, Path(target)) and well
        elif verb == "check" and not (folder / DATABASE).exists():
            _say(f"{account}: {folder / DATABASE} is missing")
            well = False
        else:
            work = partial(_check if verb == "check" else _repair, store, account)
            well = _as_owner(folder, work) and well
    return 0 if well else 1


def _recover(store: Path) -> bool:
    """What check and repair do by opening the store: after a loss of power accounts are brought up to the ledger."""
    problems = recover(store)
    for problem in problems:
        print(problem, file=sys.stderr)
    return not problems


def _backup(folder: Path, account: str, target: Path) -> bool:
    """As whoever asks: the copy is his."""
    try:
        files = back_up(folder, target)
    except MailboxFault as fault:
        print(f"{account}: {fault}", file=sys.stderr)
        return False
    _say(f"{account}: {target}: the database and {files} content files")
    return True
