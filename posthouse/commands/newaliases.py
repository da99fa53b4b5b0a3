"""newaliases: make every alias database anew. The same as `sendmail -bi` and `sendmail -I`.

Standards: newaliases(1), sendmail(1) of Postfix 3.7; alias_database in postconf(5).
"""

import sys
from dataclasses import dataclass

from posthouse.commands.postalias import main as postalias
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory, read_configuration
from posthouse.config.settings import read_settings

TEMPORARY_FAILURE = 75
"""As sendmail ends on every error."""


@dataclass(frozen=True, slots=True)
class NewaliasesSettings:
    """What is made."""

    alias_database: tuple[str, ...]


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status. Options are sendmail's, and sendmail comes back here without any."""
    if arguments:
        from posthouse.commands.sendmail import main as sendmail

        return sendmail(["-bi", *arguments])
    directory = configuration_directory()
    try:
        configuration = read_configuration(directory)
        require_everywhere(configuration)
        databases = read_settings(NewaliasesSettings, configuration).alias_database
    except ConfigError as error:
        print(f"newaliases: fatal: {error.text}", file=sys.stderr)
        return TEMPORARY_FAILURE
    return postalias(["-c", directory, "--", *databases]) if databases else 0
