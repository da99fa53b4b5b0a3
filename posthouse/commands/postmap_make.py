"""What postmap and postalias change: rows deleted, tables made. Manual: postmap(1) of Postfix 3.7."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from posthouse.commands.postmap_options import Fatal, Options, Tool
from posthouse.config.configuration import Configuration
from posthouse.tables.build import Build, exclusive, require_creatable
from posthouse.tables.open import KEYED, TYPES, Opening, loose_split, open_now, split_spec
from posthouse.tables.source_text import read_lines
from posthouse.tables.table import TableError
from posthouse.tables.warning import warn

UNASKED = {"static": "delete operation is not supported", "fail": "delete error: Application error"}
"""Types that Postfix opens for writing, and which refuse only when a key is deleted."""


def delete_rows(options: Options, how: Opening) -> int:
    """postmap -d. Returns the exit status."""
    assert options.delete is not None
    if options.delete == "-":
        keys = [data.decode("utf-8", "surrogateescape").rstrip("\n") for data in sys.stdin.buffer]
    else:
        keys = [options.delete]
    found = False
    for spec in options.maps:
        kind, path = split_spec(spec, how.default_type)
        if kind not in KEYED:
            if kind not in TYPES:
                raise TableError(f"unsupported dictionary type: {kind}")
            if kind in UNASKED:
                open_now(spec, how).close()
                if keys:
                    raise Fatal(f"table {kind}:{path}: {UNASKED[kind]}")
                continue
            raise Fatal(f"{kind}:{path} map requires O_RDONLY access mode")
        build = Build(kind, path, fold=how.fold, unicode=how.unicode, nul=options.nul)
        try:
            owner = os.stat(build.file)
        except FileNotFoundError as error:
            if kind == "lmdb":
                continue  # nothing to delete: Postfix's library makes the file
            raise Fatal(f"open database {build.file}: {error.strerror}") from error
        except OSError as error:
            raise Fatal(f"open database {build.file}: {error.strerror}") from error
        with as_owner(owner, keep_root=options.keep_root), exclusive(build.file):
            build.load()
            before = len(build.rows)
            for key in keys:
                found = build.remove(key) or found
            if len(build.rows) != before:
                build.write(None)
    return 0 if found else 1


def make_table(tool: Tool, spec: str, options: Options, how: Opening, configuration: Configuration) -> None:
    """Make one table from its source, or with -i add to it what standard input has."""
    kind, path = loose_split(spec, how.default_type)
    source: os.stat_result | None = None
    if options.incremental:
        require_creatable(kind)
        shown = "stdin"
        lines: Iterable[str] = (data.decode("utf-8", "surrogateescape") for data in sys.stdin.buffer)
    else:
        shown = path
        try:
            source = os.stat(path)
            lines = [] if os.path.isdir(path) else read_lines(path)
        except OSError as error:
            raise Fatal(f"open {path}: {error.strerror}") from error
        require_creatable(kind)
    build = Build(
        kind,
        path,
        fold=how.fold,
        unicode=how.unicode,
        nul=options.nul,
        replace=options.replace,
        quiet=options.quiet,
    )
    encode = _encoder(shown) if options.files else None
    owner = source
    if owner is None and os.path.exists(path):
        owner = os.stat(path)
    with as_owner(owner, keep_root=options.keep_root), exclusive(build.file):
        if options.incremental:
            build.load()
        for entry in tool.parse(lines, shown, how.unicode):
            build.add(entry, encode)
        if tool.bookkeeping is not None:
            tool.bookkeeping(build, configuration)
        build.write(None if source is None or options.plain_mode else source.st_mode)


def _encoder(shown: str) -> Callable[[str, int], str | None]:
    """-F: the value names files; what is stored is their content."""
    from posthouse.tables.file_values import BadFiles, file_contents

    def encode(value: str, line: int) -> str | None:
        try:
            return file_contents(value)
        except BadFiles as bad:
            warn(f"{shown}, line {line}: {bad}: skipping this entry")
            return None

    return encode


@contextmanager
def as_owner(owner: os.stat_result | None, *, keep_root: bool) -> Iterator[None]:
    """As root, work as the owner of the source: whoever may write there must not steer root."""
    if owner is None or keep_root or os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    groups = os.getgroups()
    os.setgroups([owner.st_gid])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
