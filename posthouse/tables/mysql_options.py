"""MySQL's option files: what my.cnf says to clients.

Groups [client], [client-server] and [client-mariadb], then the one that option_group names; later settings win.
`!include` and `!includedir` are followed. A password or a socket written there need not be in Postfix's files.

Standards: MariaDB's "Configuring MariaDB with Option Files"; mysql_table(5), "option_file" and "option_group".
"""

import os
from collections.abc import Iterator

from posthouse.tables.table import TableError

DEFAULT_FILES = ("/etc/my.cnf", "/etc/mysql/my.cnf", "~/.my.cnf")
"""Read where no file is named."""
ALWAYS = ("client", "client-server", "client-mariadb")
DEPTH_LIMIT = 10
"""Files that include files: the client library's own limit."""
NAMES = frozenset(
    {
        *("user", "password", "host", "port", "socket", "database", "ssl", "ssl-ca", "ssl-capath", "ssl-cert"),
        *("ssl-key", "ssl-cipher", "ssl-verify-server-cert", "default-character-set"),
    }
)
"""What is acted on; the files are full of other programs' options."""


def read_mysql_options(file: str, group: str) -> dict[str, str]:
    """Options by name, with - in it. `file` empty: the usual places. Raises TableError for a named file only."""
    groups = (*ALWAYS, group) if group else ALWAYS
    found: dict[str, str] = {}
    if file:
        for name, value in _read(file, groups, 0):
            found[name] = value
        return found
    if not group:
        return found
    for usual in DEFAULT_FILES:
        path = os.path.expanduser(usual)
        if os.path.exists(path):
            try:
                found.update(_read(path, groups, 0))
            except TableError:
                continue  # ~/.my.cnf of another user: not ours to read
    return found


def _read(path: str, groups: tuple[str, ...], depth: int) -> Iterator[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise TableError(f"open option file {path}: {error.strerror}") from error
    inside = False
    for line in lines:
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if text.startswith("!") and depth < DEPTH_LIMIT:
            word, _, place = text.partition(" ")
            yield from _included(word, place.strip(), groups, depth + 1)
        elif text.startswith("["):
            inside = text.strip("[]") in groups
        elif inside:
            name, equals, value = text.partition("=")
            name = name.strip().replace("_", "-").removeprefix("loose-")
            if name in NAMES:
                yield name, _unquoted(value.strip()) if equals else "1"


def _included(word: str, place: str, groups: tuple[str, ...], depth: int) -> Iterator[tuple[str, str]]:
    if word == "!include":
        yield from _read(place, groups, depth)
    elif word == "!includedir" and os.path.isdir(place):
        for name in sorted(os.listdir(place)):
            if name.endswith(".cnf"):
                yield from _read(os.path.join(place, name), groups, depth)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()
