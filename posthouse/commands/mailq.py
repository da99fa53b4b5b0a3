"""mailq: list the queue; the same as sendmail -bp. Manual: mailq(1) of Postfix."""

from posthouse.commands.sendmail import main as sendmail


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    return sendmail(["-bp", *arguments])
