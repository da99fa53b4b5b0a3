"""posthouse - what Posthouse has beyond Postfix's commands.

posthouse sandbox                a whole mail system on loopback, for any user
posthouse user add|list|password|remove
posthouse mailbox check|repair|backup ACCOUNT...
posthouse trace QUEUE_ID|MESSAGE_ID|ADDRESS
posthouse import-queue [--dry-run] [--remove] [SPOOL]
posthouse check-takeover
posthouse takeover [--dry-run] [--prefix DIR]; posthouse give-back
posthouse version
"""

import os
import sys

import click

from posthouse import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def house() -> None:
    """Posthouse: the whole post office."""


def _directory(value: str | None) -> str:
    return value or os.environ.get("MAIL_CONFIG") or "/etc/postfix"


config_option = click.option("-c", "--config", "directory", metavar="DIR", help="Configuration folder.")


@house.command()
def version() -> None:
    """Print the version."""
    click.echo(f"posthouse {__version__}")


@house.command()
@click.option("--once", is_flag=True, help="Play the story, then stop (exit status 0 when every letter arrived).")
@click.option("--folder", metavar="DIR", help="Where to keep everything; a temporary folder by default.")
def sandbox(once: bool, folder: str | None) -> None:
    """Run three mail hosts on loopback, show mail moving, and say how to connect."""
    from posthouse.testkit.sandbox import run

    sys.exit(run(once=once, folder=folder))


@house.command()
@config_option
@click.argument("key")
def trace(directory: str | None, key: str) -> None:
    """Print what is known of a message: by queue id, message id or address. Exit status 1 when nothing is."""
    from posthouse.config.read import read_configuration
    from posthouse.journal.read import format_entry
    from posthouse.journal.read import trace as find

    configuration = read_configuration(_directory(directory))
    entries = find(os.path.join(configuration.value("data_directory"), "journal"), key)
    for entry in entries:
        click.echo(format_entry(entry))
    sys.exit(0 if entries else 1)


@house.command("check-takeover")
@config_option
def check_takeover(directory: str | None) -> None:
    """Say what of a Postfix configuration acts here. Exit status 1 when something would stop mail."""
    from posthouse.commands.check_takeover import main as run

    sys.exit(run(_directory(directory)))


@house.command()
@config_option
@click.option("--dry-run", is_flag=True, help="Check, and print the steps; change nothing.")
@click.option("--prefix", metavar="DIR", help="The folder of our commands; by default that of this one.")
@click.option("--without-diversions", is_flag=True, help="Go on where there is no dpkg-divert.")
@click.option("--force", is_flag=True, help="Go on though check-takeover found what would stop mail.")
@click.option(
    "--mend", is_flag=True, help="After an update of the postfix package: put our commands back (dpkg runs it)."
)
def takeover(
    directory: str | None, dry_run: bool, prefix: str | None, without_diversions: bool, force: bool, mend: bool
) -> None:
    """Take Postfix's place on this machine: its commands, its service, its queue."""
    from posthouse.commands.takeover import main_mend
    from posthouse.commands.takeover import main_takeover as run

    if mend:
        sys.exit(main_mend())

    sys.exit(run(_directory(directory), prefix, dry_run=dry_run, without_diversions=without_diversions, force=force))


@house.command("give-back")
def give_back() -> None:
    """Undo a take-over, also one that was interrupted: commands, service and queued mail are Postfix's again."""
    from posthouse.commands.takeover import main_give_back as run

    sys.exit(run())


@house.command("import-queue")
@config_option
@click.option("--dry-run", is_flag=True, help="Read everything, change nothing.")
@click.option("--remove", is_flag=True, help="Delete the old files at the end; otherwise SPOOL/imported-DATE has them.")
@click.argument("spool", required=False)
def import_queue(directory: str | None, dry_run: bool, remove: bool, spool: str | None) -> None:
    """Take over the messages of a stopped Postfix. SPOOL is its queue_directory, by default the configuration's."""
    from posthouse.commands.import_queue import main as run

    sys.exit(run(_directory(directory), spool, dry_run=dry_run, remove=remove))


@house.group()
def mailbox() -> None:
    """Look after accounts of the native store."""


@mailbox.command()
@config_option
@click.argument("accounts", nargs=-1, required=True)
def check(directory: str | None, accounts: tuple[str, ...]) -> None:
    """Compare SQLite's own check, counters, contents and files."""
    from posthouse.commands.mailbox import main as run

    sys.exit(run(_directory(directory), "check", accounts))


@mailbox.command()
@config_option
@click.argument("accounts", nargs=-1, required=True)
def repair(directory: str | None, accounts: tuple[str, ...]) -> None:
    """Put counters right; make a damaged database anew from what can be read (the account must be closed)."""
    from posthouse.commands.mailbox import main as run

    sys.exit(run(_directory(directory), "repair", accounts))


@mailbox.command()
@config_option
@click.argument("account")
@click.argument("folder")
def backup(directory: str | None, account: str, folder: str) -> None:
    """Copy an account into a new FOLDER while it is in use, sound as of one moment."""
    from posthouse.commands.mailbox import main as run

    sys.exit(run(_directory(directory), "backup", (account,), folder))


@house.group()
def user() -> None:
    """Accounts in the first passwd-file of account_databases."""


def _passwd_file(directory: str | None) -> str:
    from posthouse.accounts.open import first_passwd_file
    from posthouse.config.read import read_configuration

    path = first_passwd_file(read_configuration(_directory(directory)))
    if path is None:
        raise click.ClickException("account_databases names no passwd-file")
    return path


def _password(given: str | None) -> str:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


@user.command("add")
@config_option
@click.argument("login")
@click.option("--password", help="Visible to others in the process list: better typed, or on standard input.")
def user_add(directory: str | None, login: str, password: str | None) -> None:
    """Add an account."""
    from posthouse.accounts.edit import add_user
    from posthouse.accounts.error import EditError

    path = _passwd_file(directory)
    made = not os.path.exists(path)
    try:
        add_user(path, login, _password(password))
    except EditError as error:
        raise click.ClickException(str(error)) from error
    if made and os.geteuid() == 0:
        _give_to_workers(directory, path)


def _give_to_workers(directory: str | None, path: str) -> None:
    """The workers read it as mail_owner; nobody else may."""
    from posthouse.config.read import read_configuration
    from posthouse.host.users import user_identity

    owner = read_configuration(_directory(directory)).value("mail_owner")
    try:
        os.chown(path, 0, user_identity(owner).gid)
    except KeyError:
        click.echo(f"posthouse: warning: no user {owner} (mail_owner): the workers cannot read {path}", err=True)


@user.command("password")
@config_option
@click.argument("login")
@click.option("--password", help="Visible to others in the process list: better typed, or on standard input.")
def user_password(directory: str | None, login: str, password: str | None) -> None:
    """Set an account's password."""
    from posthouse.accounts.edit import set_password
    from posthouse.accounts.error import EditError

    try:
        set_password(_passwd_file(directory), login, _password(password))
    except EditError as error:
        raise click.ClickException(str(error)) from error


@user.command("remove")
@config_option
@click.argument("login")
def user_remove(directory: str | None, login: str) -> None:
    """Remove an account; its mail stays where it is."""
    from posthouse.accounts.edit import remove_user
    from posthouse.accounts.error import EditError

    try:
        remove_user(_passwd_file(directory), login)
    except EditError as error:
        raise click.ClickException(str(error)) from error


@user.command("list")
@config_option
def user_list(directory: str | None) -> None:
    """List the logins."""
    from posthouse.accounts.edit import list_users

    for login in list_users(_passwd_file(directory)):
        click.echo(login)


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    from posthouse.config.error import ConfigError

    try:
        status = house.main(args=arguments, prog_name="posthouse", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Abort:
        return 1
    except (ConfigError, OSError) as error:
        click.echo(f"posthouse: {error}", err=True)
        return 1
    return int(status or 0)
