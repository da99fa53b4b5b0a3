"""Whom local delivery knows in this instance: the account databases' logins, then the system's."""

from posthouse.config.configuration import Configuration
from posthouse.transport.local.people import People, SystemPeople


def open_people(configuration: Configuration) -> People:
    """From account_databases."""
    return SystemPeople()
