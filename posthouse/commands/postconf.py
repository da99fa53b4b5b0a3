"""postconf: show and change main.cf and master.cf. Manual: postconf(1) of Postfix 3.7; -q of 3.9, -j of 3.11.

Without options it lists main.cf parameters and warns about names that mean nothing. It
imports no more than it needs: scripts call it dozens of times in a row.
"""

import sys
from collections.abc import Callable

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.listing import Listing, Selection
from posthouse.config.logical_line import printable
from posthouse.config.options import Options, UsageError, parse_options
from posthouse.config.read import configuration_directory

WORDS = {"a": ("cyrus", "dovecot"), "A": ("cyrus",), "l": ("flock", "fcntl", "dotlock")}
"""What -a, -A and -l list."""


def warn(text: str) -> None:
    """A warning of this command."""
    _say(f"postconf: warning: {text}")


def _note(text: str) -> None:
    _say(f"postconf: {text}")


def _say(text: str) -> None:
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


BUFFER = 4096
"""Bytes of a listing that wait: scripts that read both streams see warnings before the listing, as Postfix has them.

What still waits when the command gives up is not shown.
"""

_waiting = bytearray()


def _show(text: str) -> None:
    _waiting.extend(f"{text}\n".encode("utf-8", "surrogateescape"))
    full = len(_waiting) // BUFFER * BUFFER
    if full:
        sys.stdout.buffer.write(_waiting[:full])
        sys.stdout.buffer.flush()
        del _waiting[:full]


def _flush() -> None:
    sys.stdout.buffer.write(_waiting)
    sys.stdout.buffer.flush()
    _waiting.clear()


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    _waiting.clear()
    try:
        status = _run(parse_options(arguments))
        _flush()
        return status
    except UsageError as error:
        for line in error.lines:
            _say(f"postconf: {line}")
        return 1
    except ConfigError as error:
        for text in error.warnings:
            warn(text)
        _say(f"postconf: fatal: {error.text}")
        return 1


def _run(options: Options) -> int:
    directory = configuration_directory(options.directory)
    mode = options.mode
    if mode in "aAlmT":
        return _show_support(mode, options, directory)
    if mode in "bt":
        return _show_templates(mode, options, directory)
    if options.edit:
        if mode == "p":
            _edit_main(options, directory)
        else:
            _edit_master(options, directory)
        return 0
    listing = Listing(directory, options, warn, _show, _note, _flush)
    if mode == "p":
        listing.show_parameters(Selection(options.classes, options.defaults, options.changed))
    else:
        listing.show_master(mode)
    return 0


def _show_support(mode: str, options: Options, directory: str) -> int:
    if mode == "T":
        return _show_tls(options.tls_mode or "")
    if mode == "m":
        from posthouse.config.main_cf import read_main_cf

        # Table types may come with the configuration: Postfix reads it first.
        for text in read_main_cf(f"{directory}/main.cf").warnings:
            warn(text)
    for word in _table_types() if mode == "m" else WORDS[mode]:
        _show(word)
    return 0


def _table_types() -> tuple[str, ...]:
    from posthouse.tables.open import TYPES

    return tuple(sorted(TYPES))


def _show_tls(mode: str) -> int:
    if mode in {"compile-version", "run-version"}:
        import ssl

        _show(ssl.OPENSSL_VERSION)
    elif mode == "public-key-algorithms":
        for name in ("dsa", "ecdsa", "rsa"):
            _show(name)
    else:
        warn(f"unknown 'postconf -T' mode: {mode}")
        return 1
    return 0


def _show_templates(mode: str, options: Options, directory: str) -> int:
    """The beginning of each notice (-b), or the templates of all (-t): the template file's words, else ours."""
    from posthouse.config.read import read_configuration

    if len(options.arguments) > 1:
        raise ConfigError("options -b and -t require at most one template file")
    configuration = read_configuration(directory)
    path = options.arguments[0] if options.arguments else configuration.value("bounce_template_file")
    text = ""
    name = f"{configuration.value('syslog_name')}/bounce"  # Postfix asks bounce(8), which complains under its own name

    def complain(warning: str) -> None:
        _say(f"{name}: warning: {warning}")

    if path:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
        except OSError as error:
            _say(f"{name}: fatal: open {path}: {error.strerror}")
            return 1
    try:
        if mode == "t":
            from posthouse.bounce.template import show_templates

            shown = show_templates(text, path, complain).removesuffix("\n")
        else:
            shown = _notices(configuration, text, path, complain)
    except ConfigError as error:
        _say(f"{name}: fatal: {error}")
        return 1
    _show(shown)
    return 0


def _notices(configuration: Configuration, text: str, path: str, complain: Callable[[str], None]) -> str:
    from posthouse.bounce.prose import Kind, prose
    from posthouse.bounce.template import parse_templates

    templates = parse_templates(
        text,
        path,
        configuration.expand,
        configuration.seconds,
        lambda name: configuration.parameter(name) is not None,
        complain,
    )
    texts = []
    for kind in Kind:
        if kind in templates:
            notice = templates[kind].text
        else:
            notice = prose(
                kind,
                configuration.value("myhostname"),
                waited=configuration.seconds("delay_warning_time"),
                lifetime=configuration.seconds("maximal_queue_lifetime"),
            )
        texts.append(f"expanded_{kind.name.lower()}_text = <<EOF\n{notice}EOF")
    return "\n\n".join(texts)


def _edit_main(options: Options, directory: str) -> None:
    from posthouse.config.edit_main import edit_main, parse_assignments, parse_names
    from posthouse.config.rewrite import rewrite_file

    if options.edit == "e":
        if not options.arguments:
            raise ConfigError("-e requires name=value argument")
        values, warnings = parse_assignments(options.arguments)
        names = list(values)
    else:
        if not options.arguments:
            raise ConfigError("missing service argument")
        values, warnings = None, []
        names = parse_names(options.arguments)
    for text in warnings:
        warn(text)
    path = f"{directory}/main.cf"
    several: list[str] = []

    def edit(text: str) -> str:
        changed, several[:] = edit_main(text, values, names, remove=options.edit == "X")
        return changed

    rewrite_file(path, edit)
    for name in several:
        warn(f'{path}: multiple entries for "{name}"')


def _edit_master(options: Options, directory: str) -> None:
    from posthouse.config import edit_master
    from posthouse.config.edit_main import require_one_line
    from posthouse.config.rewrite import rewrite_file

    if not options.arguments:
        raise ConfigError("-e requires name=value argument" if options.edit == "e" else "missing service argument")
    for argument in options.arguments:
        require_one_line(argument, "-Me, -Fe, -Pe, -X, or -# accept")
    path = f"{directory}/master.cf"
    if options.mode == "M":
        entries: dict[tuple[str, ...], str | None] = {}
        for argument in options.arguments:
            if options.edit == "e":
                pattern, entry = edit_master.new_entry(argument)
                entries[pattern] = entry
            else:
                entries[edit_master.entry_pattern(argument)] = None
        rewrite_file(path, lambda text: edit_master.replace_entries(text, entries, comment=options.edit == "#"))
        return
    changes = [edit_master.parse_change(argument, options.mode, options.edit) for argument in options.arguments]
    warnings: list[str] = []

    def change(text: str) -> str:
        changed, warnings[:] = edit_master.apply_changes(text, changes, path)
        return changed

    rewrite_file(path, change)
    for warning in warnings:
        warn(warning)
