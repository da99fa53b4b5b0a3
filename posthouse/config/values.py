"""What the computed defaults need of a configuration."""

from typing import Protocol


class Values(Protocol):
    """Values by name."""

    @property
    def directory(self) -> str:
        """The folder of main.cf."""

    def value(self, name: str) -> str:
        """The value, expanded."""

    def words(self, name: str) -> tuple[str, ...]:
        """The words of a list."""

    def is_set(self, name: str) -> bool:
        """Whether it has a value of its own."""
