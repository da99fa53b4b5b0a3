"""Who may log in: the account databases in order.

The first database that knows a login decides; there is no second try further down. Hashes are checked in a small
pool of threads, so that a burst of logins neither stops the loop nor takes all memory (Argon2 takes 64 MB each).
A success is remembered for CACHE_SECONDS under a keyed hash of login, password and stored hash, never the password
itself. An unknown login costs as much time as a known one.
"""

import asyncio
import hashlib
import pwd
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from posthouse.accounts.account import Account, AccountRetry, fold_login
from posthouse.accounts.pam import PamCheck
from posthouse.accounts.passwd_file import PasswdFile, PasswdRow
from posthouse.accounts.scheme import secret_of, verify

THREADS = 2
"""Hashes at once."""
WAITING_LIMIT = 200
"""Checks waiting for a thread; beyond that clients are told to try later."""
CACHE_SECONDS = 30.0
"""A client that reconnects does not cost a hash; a changed password in PAM is felt after this."""
CACHE_LIMIT = 4096
"""Successes remembered; a full cache is emptied."""
DUMMY = "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$HpbBWKIcKPDpvvGW8tMcBqqzBUkdp3J2gq0pDk1rSsI"
"""Fits no password: what an unknown login is checked against when there is no row to take."""


class Database(Protocol):
    """One account database."""

    def find(self, login: str) -> Account | None:
        """The account, or None when it does not know the login. Raises AccountRetry."""

    def stored(self, login: str) -> str | None:
        """{SCHEME}hash of a login, or None when passwords are checked elsewhere."""

    def example(self) -> str | None:
        """A stored hash like any other, to spend time on."""

    def plain(self) -> bool:
        """Whether every password that it knows is kept in plain. Raises AccountRetry."""

    @property
    def pam(self) -> PamCheck | None:
        """Who checks passwords instead of a hash."""


class PasswdFileDatabase:
    """passwd-file:PATH."""

    def __init__(self, path: str) -> None:
        self.file = PasswdFile(path)
        self.pam: PamCheck | None = None
        self._looked: tuple[dict[str, PasswdRow], bool] | None = None

    def find(self, login: str) -> Account | None:
        """The account of a row."""
        row = self.file.rows().get(login)
        return None if row is None else row.account

    def stored(self, login: str) -> str | None:
        """The row's hash; "" when no password fits."""
        row = self.file.rows().get(login)
        return None if row is None else row.stored

    def example(self) -> str | None:
        """Some row's hash."""
        return next((row.stored for row in self.file.rows().values() if row.stored), None)

    def plain(self) -> bool:
        """Looked at once for each state of the file."""
        rows = self.file.rows()
        if self._looked is None or self._looked[0] is not rows:
            stored = [row.stored for row in rows.values() if row.stored]
            self._looked = rows, bool(stored) and all(secret_of(one) for one in stored)
        return self._looked[1]


class PamDatabase:
    """pam: the users of this machine."""

    def __init__(self, check: PamCheck | None) -> None:
        self.pam = check

    def find(self, login: str) -> Account | None:
        """A system user."""
        if "@" in login:
            return None
        try:
            entry = pwd.getpwnam(login)
        except (KeyError, ValueError):
            return None
        return Account(login, entry.pw_uid, entry.pw_gid, entry.pw_dir)

    def stored(self, login: str) -> str | None:
        """PAM gives no hashes."""
        return None

    def example(self) -> str | None:
        """PAM gives no hashes."""
        return None

    def plain(self) -> bool:
        """PAM gives no passwords."""
        return False


class Accounts:
    """The account databases of this instance."""

    def __init__(self, databases: Sequence[Database], clock: Callable[[], float] = time.monotonic) -> None:
        self._databases = tuple(databases)
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._cache: dict[bytes, float] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def find(self, login: str) -> Account | None:
        """The account of a login, or None. Raises AccountRetry."""
        found = self._find(login)
        return None if found is None else found[0]

    async def authenticate(self, login: str, password: str) -> Account | None:
        """The account when the password fits, else None. Raises AccountRetry when it could not be asked."""
        if not password or "\0" in password:
            return None
        found = self._find(login)
        if found is None:
            await self._in_thread(self._example(), password)
            return None
        account, database = found
        stored = database.stored(account.login)
        mark = self._mark(account.login, password, stored or "")
        until = self._cache.get(mark)
        if until is not None and self._clock() < until:
            return account
        if stored is None:
            # Root's password opens no mailbox: guessing it over the network would be worth too much.
            if database.pam is None or account.uid == 0:
                await self._in_thread(self._example(), password)
                return None
            fits = await database.pam.check(account.login, password)
        else:
            fits = await self._in_thread(stored or self._example(), password) and bool(stored)
        if not fits or "nologin" in account.extra:
            return None
        if len(self._cache) >= CACHE_LIMIT:
            self._cache.clear()
        self._cache[mark] = self._clock() + CACHE_SECONDS
        return account

    async def secret(self, login: str) -> str | None:
        """The password itself where it is stored plainly, for APOP and CRAM-MD5; else None. Raises AccountRetry."""
        found = self._find(login)
        if found is None or "nologin" in found[0].extra:
            return None
        stored = found[1].stored(found[0].login)
        return secret_of(stored) if stored else None

    def plain(self) -> bool:
        """Whether every password here is kept in plain: only then may clients be told of a method that needs it, for
        they take it for all accounts."""
        try:
            return bool(self._databases) and all(database.plain() for database in self._databases)
        except AccountRetry:
            return False

    def _find(self, login: str) -> tuple[Account, Database] | None:
        folded = fold_login(login)
        if folded is None:
            return None
        for database in self._databases:
            account = database.find(folded)
            if account is not None:
                return account, database
        return None

    def _example(self) -> str:
        for database in self._databases:
            example = database.example()
            if example:
                return example
        return DUMMY

    def _mark(self, login: str, password: str, stored: str) -> bytes:
        text = "\0".join((login, password, stored)).encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    async def _in_thread(self, stored: str, password: str) -> bool:
        if self._waiting >= WAITING_LIMIT:
            raise AccountRetry("too many logins at once")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, verify, password, stored)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
