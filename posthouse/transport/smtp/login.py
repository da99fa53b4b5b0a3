"""Which login a server gets from us: smtp_sasl_password_maps and the mechanisms allowed.

The map is asked for the sender (with smtp_sender_dependent_authentication), then the host, then
the nexthop as routing wrote it. Where there is no row we talk as strangers.

Standards: RFC 4954 section 4. Keys and order are smtp(8)'s.
"""

from collections.abc import Collection
from dataclasses import dataclass

from posthouse.envelope.outcome import Dsn
from posthouse.transport.smtp.lookups import LookupMaps
from posthouse.transport.smtp.settings import SmtpSettings


@dataclass(frozen=True, slots=True)
class Login:
    """One login."""

    user: str
    password: str


async def find_login(
    maps: LookupMaps | None, settings: SmtpSettings, *, sender: str, host: str, nexthop: str
) -> Login | None:
    """The login for a server, or None. Raises TableRetry."""
    if maps is None or not settings.smtp_sasl_auth_enable:
        return None
    keys = [host, nexthop]
    if settings.smtp_sender_dependent_authentication and sender:
        keys = [sender, "@" + sender.rpartition("@")[2], *keys]
    for key in dict.fromkeys(keys):
        row = await maps.lookup(key)
        if row is not None:
            user, _, password = row.value.partition(settings.smtp_sasl_password_result_delimiter or ":")
            return Login(user, password)
    return None


def allowed_mechanisms(offered: Collection[str], settings: SmtpSettings) -> list[str]:
    """The offered mechanisms that smtp_sasl_mechanism_filter lets through ("!" excludes; static words only)."""
    wanted = [word.lower() for word in settings.smtp_sasl_mechanism_filter]
    if not wanted:
        return list(offered)
    kept = []
    for mechanism in offered:
        for word in wanted:
            if word.lstrip("!") in (mechanism.lower(), "static:all"):
                if not word.startswith("!"):
                    kept.append(mechanism)
                break
    return kept


def no_mechanism(label: str) -> Dsn:
    """Nothing offered passes the filter."""
    return Dsn(
        "4.7.0",
        f"SASL authentication failed: server {label} offered no compatible authentication mechanisms "
        "for this type of connection security",
    )


def no_worthy_mechanism(label: str) -> Dsn:
    """Something passes the filter, but not the security options or our abilities."""
    return Dsn("4.7.0", f"SASL authentication failed; cannot authenticate to server {label}: no mechanism available")
