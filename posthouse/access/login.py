"""The seam of logins: what IMAP and POP3 sessions ask of whoever keeps the passwords.

"No" is a value and says nothing of the reason: an unknown login and a wrong password look alike.
"""

from typing import Protocol


class LoginRetry(Exception):
    """Nobody could say now; the text is for the log. The client hears that it may try again, not that it was wrong."""


class Login(Protocol):
    """Who keeps the passwords."""

    async def authenticate(self, login: str, password: str) -> str | None:
        """The account's login when the password fits, else None. Raises LoginRetry."""

    async def secret(self, login: str) -> str | None:
        """The password itself where it is kept in plain, for APOP; else None. Raises LoginRetry."""
