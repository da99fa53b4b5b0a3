"""postmap: make, change and query lookup tables. Manual: postmap(1) of Postfix 3.7.

postalias runs this too, with its own source format. It imports no more than it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace

from posthouse.commands.postmap_options import Fatal, Options, Tool, Usage, parse_options
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory, read_configuration
from posthouse.tables.fold import key_bytes
from posthouse.tables.open import SUSPENDING, Opening, open_now, opening, split_spec
from posthouse.tables.table import Row, Table, TableError, TableRetry, drive
from posthouse.tables.warning import send_warnings_to, warn

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any, TypeVar

    from posthouse.tables.source_text import Entry

    T = TypeVar("T")


def _parse_postmap(lines: Iterable[str], path: str, utf8: bool) -> Iterator[Entry]:
    from posthouse.tables.source_text import entries

    return entries(lines, path, warn, utf8=utf8)


POSTMAP = Tool(
    name="postmap",
    usage="postmap [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file...",
    options="bc:d:fFhimnNopq:rsuUvw",
    parse=_parse_postmap,
    separator="\t",
)


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    return run(POSTMAP, arguments)


def run(tool: Tool, arguments: list[str]) -> int:
    """Run postmap or postalias."""

    def say(text: str) -> None:
        from posthouse.host.log import printable  # 4 ms, and most commands say nothing

        sys.stdout.flush()
        sys.stderr.buffer.write(key_bytes(f"{tool.name}: {printable(text)}\n"))
        sys.stderr.flush()

    before = send_warnings_to(lambda text: say(f"warning: {text}"))
    known: list[Configuration] = []
    try:
        options = parse_options(tool, arguments)
        return _run(tool, options, say, known)
    except Usage as error:
        if str(error):
            say(str(error))
        say(f"fatal: usage: {tool.usage}")
    except ConfigError as error:
        for text in error.warnings:
            say(f"warning: {text}")
        say(f"fatal: {error.text}")
    except (Fatal, TableError, TableRetry) as error:
        say(f"fatal: {error}")
        from posthouse.commands.complaint import log_line

        for configuration in known:
            log_line(configuration, tool.name, "fatal", str(error))
    finally:
        sys.stdout.flush()
        send_warnings_to(before)
    return 1


def _run(tool: Tool, options: Options, say: Callable[[str], None], known: list[Configuration]) -> int:
    configuration = read_configuration(configuration_directory(options.directory))
    require_everywhere(configuration)
    known.append(configuration)
    for text in configuration.warnings:
        say(f"warning: {text}")
    if (options.body or options.header or options.mime) and options.query != "-":
        raise Fatal('specify -b -h or -m only with "-q -"')
    if options.mime and not (options.body or options.header):
        warn("ignoring -m option without -b or -h")
    how = _opening(configuration, options)
    # Without -s, -q or -d the maps are what is to be made; there must be one either way.
    if not options.maps:
        if options.sequence:
            return 1  # in silence, as Postfix
        raise Usage
    if options.verbose:
        for spec in options.maps:
            say(f"dict_open: {':'.join(split_spec(spec, how.default_type))}")
    if options.delete is not None:
        from posthouse.commands.postmap_make import delete_rows

        return delete_rows(options, how)
    if options.query is not None:
        return _query(tool, options, how)
    if options.sequence:
        return _list(tool, options, how)
    from posthouse.commands.postmap_make import make_table  # queries, the most frequent use, do without

    for spec in options.maps:
        make_table(tool, spec, options, how, configuration)
    return 0


def _opening(configuration: Configuration, options: Options) -> Opening:
    how = opening(configuration)
    if options.files:
        from posthouse.tables.file_values import file_contents

        how = replace(how, read_value=file_contents)
    unicode = how.unicode if options.utf8 is None else options.utf8
    return replace(how, fold=options.fold, unicode=unicode, nul=options.nul)


# Querying


def _query(tool: Tool, options: Options, how: Opening) -> int:
    assert options.query is not None
    if options.query != "-":
        return _drive(_query_one(options.query, options, how), options.maps, how)
    return _drive(_query_all(tool, _keys(options), options, how), options.maps, how)


def _keys(options: Options) -> Iterator[str]:
    lines = (data.decode("utf-8", "surrogateescape") for data in sys.stdin.buffer)
    if not (options.body or options.header):
        return (line.rstrip("\n") for line in lines)
    from posthouse.tables.message_text import message_keys

    return message_keys(lines, header=options.header, body=options.body, mime=options.mime)


async def _query_one(key: str, options: Options, how: Opening) -> int:
    # Each table is opened when it is its turn, as in Postfix.
    for spec in options.maps:
        table = open_now(spec, how)
        try:
            row = await _ask(table, key, options.files, table.name)
        finally:
            table.close()
        if row is not None:
            _show(row.value)
            return 0
    return 1


async def _query_all(tool: Tool, keys: Iterator[str], options: Options, how: Opening) -> int:
    # Each table is opened when it is first asked, as in Postfix.
    tables: list[Table] = []
    status = 1
    try:
        for key in keys:
            for number, spec in enumerate(options.maps):
                if number == len(tables):
                    tables.append(open_now(spec, how))
                table = tables[number]
                row = await _ask(table, key, options.files, _file_name(table))
                if row is not None:
                    _show(f"{key}{tool.separator}{row.value}")
                    status = 0
                    break
    finally:
        for table in tables:
            table.close()
    return status


async def _ask(table: Table, key: str, files: bool, shown: str) -> Row | None:
    # Postfix never asks a file for the empty string.
    if not key and not table.whole_key and not getattr(table, "takes_empty_key", False):
        return None
    row = await table.lookup(key)
    if row is None:
        return None
    if not row.value:
        warn(f"table {shown}: key {key}: empty string result is not allowed")
        warn(f"table {shown} should return NO RESULT in case of NOT FOUND")
    if files:
        decoded = _decode(_file_name(table), key, row.value)
        if decoded is None:
            raise Fatal(f"table {_file_name(table)}: query error")
        row = Row(decoded, row.table, row.key, row.line)
    return row


LONGEST_SHOWN = 30
"""Of a value in a complaint about it, as in Postfix."""


def _drive(coroutine: Coroutine[Any, Any, T], maps: tuple[str, ...], how: Opening) -> T:
    if any(f"{kind}:" in f"{how.default_type}:{spec}" for spec in maps for kind in SUSPENDING):
        import asyncio

        return asyncio.run(coroutine)
    return drive(coroutine)


def _show(text: str) -> None:
    sys.stdout.buffer.write(key_bytes(f"{text}\n"))


def _file_name(table: Table) -> str:
    """type:file, as diagnostics about a file's content name it."""
    path = getattr(table, "path", "")
    return f"{table.name.partition(':')[0]}:{path}" if path else table.name


def _decode(name: str, key: str, value: str) -> str | None:
    import base64
    import binascii

    try:
        # Postfix shows what C takes for the text: up to the first NUL.
        return base64.b64decode(key_bytes(value), validate=True).partition(b"\0")[0].decode("utf-8", "surrogateescape")
    except binascii.Error:
        warn(f"table {name}: key {key}: malformed BASE64 value: {value[:LONGEST_SHOWN]}")
        return None


# Listing


def _list(tool: Tool, options: Options, how: Opening) -> int:
    # As in Postfix, only the first map is listed.
    table = open_now(options.maps[0], how)
    items = getattr(table, "items", None)
    if items is None:
        raise Fatal(f"table {table.name}: sequence operation is not supported")
    for key, value in items():
        if not key:
            warn(f"table {table.name}: empty lookup key value is not allowed")
        elif not value:
            warn(f"table {table.name}: key {key}: empty string result is not allowed")
            warn(f"table {table.name} should return NO RESULT in case of NOT FOUND")
        text = _decode(_file_name(table), key, value) if options.files else value
        if text is None:
            continue
        _show(f"{key}{tool.separator}{text}")
    return 0
