"""Standard form: every address becomes local_part@fully.qualified.domain.

Source routes are dropped, site!user and user%site without an @ are turned round, a bare name
gets @myorigin, a domain without a dot gets .mydomain, one dot at the end goes. Envelope
addresses are always in the local context; header addresses of remote clients only when
remote_header_rewrite_domain names a domain to complete them with.

Standards: RFC 5321 section 2.3.5 and appendix C; Postfix's trivial-rewrite.
"""

from dataclasses import dataclass

from posthouse.address.address import split_address
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings

UNKNOWN = -2
"""Nobody has looked yet."""


@dataclass(frozen=True, slots=True)
class RewriteSettings:
    """What standard form reads."""

    myorigin: str
    mydomain: str
    append_at_myorigin: bool
    append_dot_mydomain: bool
    swap_bangpath: bool
    allow_percent_hack: bool
    remote_header_rewrite_domain: str


class Rewriter:
    """Puts addresses into standard form."""

    def __init__(self, settings: RewriteSettings) -> None:
        self._settings = settings
        remote = settings.remote_header_rewrite_domain
        self.remote = bool(remote)
        """Whether header addresses of remote clients are completed at all."""
        self._origins = {True: settings.myorigin, False: remote}
        self._domains = {True: settings.mydomain, False: remote}

    @classmethod
    def open(cls, configuration: Configuration) -> "Rewriter":
        """From main.cf."""
        return cls(read_settings(RewriteSettings, configuration))

    def address(self, address: str) -> str:
        """The standard form of an internal address, in the local context; "" stays ""."""
        if not address:
            return ""
        local_part, at, domain = address.rpartition("@")
        if at:
            if "." in domain and not domain.endswith(".") and not address.startswith("@"):
                return address
            local_part, result = self.parts(local_part, domain)
        else:
            local_part, result = self.parts(domain, None)
        return local_part if result is None else f"{local_part}@{result}"

    def parts(
        self, local_part: str, domain: str | None, *, bang: int = UNKNOWN, percent: int = UNKNOWN, local: bool = True
    ) -> tuple[str, str | None]:
        """The same for an address in parts; `local`: the context. `bang` and `percent`: where in the local part they
        stand, -1 when they stand nowhere; in a quoted string they are only characters."""
        settings = self._settings
        if domain is None:
            if not local_part:
                return "", None
            if not settings.swap_bangpath:
                bang = -1
            elif bang == UNKNOWN:
                bang = local_part.find("!")
            if not settings.allow_percent_hack:
                percent = -1
            elif percent == UNKNOWN:
                percent = local_part.rfind("%")
            if bang >= 0:
                local_part, domain = local_part[bang + 1 :], local_part[:bang]
            elif percent >= 0:
                local_part, domain = local_part[:percent], local_part[percent + 1 :]
            elif settings.append_at_myorigin and self._origins[local]:
                domain = self._origins[local]
            else:
                return local_part, None
        elif not domain and not local_part:
            return "", None  # a lone @ is an empty address
        if local_part.startswith("@") and ":" in local_part:
            local_part = local_part.rpartition(":")[2]
        mydomain = self._domains[local]
        if domain and settings.append_dot_mydomain and mydomain and "." not in domain and "[" not in domain:
            domain = f"{domain}.{mydomain}"
        if domain.endswith(".") and not domain.endswith("..") and domain != ".":
            domain = domain[:-1]
        return local_part, domain


def is_qualified(address: str) -> bool:
    """Whether an address has a domain."""
    return bool(split_address(address)[1])
