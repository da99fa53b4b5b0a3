"""masquerade_domains: host names below a domain are cut off (joe@host.example.com is joe@example.com).

The domains are tried in order; `!domain` excepts itself and what lies below it;
masquerade_exceptions names users who keep their host.
"""

from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings


@dataclass(frozen=True, slots=True)
class MasqueradeSettings:
    """What masquerading reads."""

    masquerade_domains: tuple[str, ...]
    masquerade_exceptions: tuple[str, ...]
    masquerade_classes: tuple[str, ...]


class Masquerade:
    """Cuts host names off."""

    def __init__(self, settings: MasqueradeSettings) -> None:
        self._domains = []
        for word in settings.masquerade_domains:
            name = word.lstrip("!")
            self._domains.append((name.lower(), (len(word) - len(name)) % 2 == 1))
        self._exceptions = frozenset(name.lower() for name in settings.masquerade_exceptions)
        self.classes = frozenset(settings.masquerade_classes) if self._domains else frozenset()
        """Of envelope_sender, envelope_recipient, header_sender, header_recipient; empty when nothing is to do."""

    @classmethod
    def open(cls, configuration: Configuration) -> "Masquerade":
        """From main.cf."""
        return cls(read_settings(MasqueradeSettings, configuration))

    def address(self, address: str) -> str:
        """The address without the host name, or as it is."""
        local_part, at, domain = address.rpartition("@")
        if not at or not domain or local_part.lower() in self._exceptions:
            return address
        folded = domain.lower()
        for name, excepted in self._domains:
            if folded == name:
                break
            if folded.endswith("." + name):
                return address if excepted else f"{local_part}@{domain[len(domain) - len(name) :]}"
        return address
