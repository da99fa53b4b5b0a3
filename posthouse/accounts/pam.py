"""Passwords of system users, checked by PAM.

PAM needs root and may block, so where Posthouse serves, the check runs in a root child; PamCheck is what the rest
sees of it. pam_check() is what that child calls.
"""

from typing import Protocol

PAM_SERVICE = "posthouse"
"""/etc/pam.d/posthouse; where it is missing, PAM's own "other" decides, as for any service."""
FALLBACK_SERVICES = ("dovecot", "login")
"""What an existing machine has, tried when there is no /etc/pam.d/posthouse."""
PAM_FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")


class PamCheck(Protocol):
    """Asks PAM."""

    async def check(self, login: str, password: str) -> bool:
        """Whether the password fits. Raises AccountRetry when PAM cannot be asked."""


def pam_service() -> str:
    """The name to ask PAM under."""
    import os

    for service in (PAM_SERVICE, *FALLBACK_SERVICES):
        if any(os.path.exists(f"{folder}/{service}") for folder in PAM_FOLDERS):
            return service
    return PAM_SERVICE


def pam_check(login: str, password: str, service: str = "") -> bool:
    """Whether PAM lets this login in. Blocks; as root it can ask for any user."""
    if not password or "\0" in login or "\0" in password:
        return False
    import pam

    return bool(pam.pam().authenticate(login, password, service=service or pam_service()))
