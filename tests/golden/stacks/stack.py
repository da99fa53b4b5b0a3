"""Ten configurations after public stacks, one folder each: as their owners have them, and as a test starts them.

A folder holds main.cf, master.cf and the tables. What depends on a machine stands in them as `@name=usual@`: written
with what is usual (`smtp`, `/etc/postfix`) they are the stack's own files, whose `postconf` listings are recorded in
`listings.txt` from Postfix 3.7.11; with other values they listen on free ports and keep their files elsewhere.
`said.txt` is what `postfix check` and `posthouse check-takeover` say.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.parent.name for path in FOLDER.glob("*/main.cf")))

PLACEHOLDER = re.compile(r"@([a-z0-9_]+)=([^@\n]*)@")
LISTINGS = "listings.txt"
SAID = "said.txt"

MACHINE = frozenset({"myhostname", "mydomain", "mynetworks", "compatibility_level"})
"""Names whose default is the machine's, or the version's."""

Run = Callable[[list[str]], tuple[int, bytes, bytes]]
"""A command with its arguments: exit status, standard output, standard error."""


def write_stack(name: str, folder: Path, values: Mapping[str, str] = {}) -> None:
    """The files of a stack, with these values for its placeholders and what is usual for the others."""
    unused = set(values)

    def fill(found: re.Match[str]) -> str:
        unused.discard(found[1])
        return values.get(found[1], found[2])

    for source in sorted((FOLDER / name).rglob("*")):
        if source.is_file() and source.name not in (LISTINGS, SAID):
            path = folder / source.relative_to(FOLDER / name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(PLACEHOLDER.sub(fill, source.read_text()))
    assert not unused, f"{name} has no such placeholders: {unused}"


@contextmanager
def written(name: str, **values: str) -> Iterator[Path]:
    """The stack's files in a folder whose name has always the same length, for lines are folded by it, and so old that
    Postfix does not read them twice."""
    folder = Path(tempfile.mkdtemp(prefix="stack-", dir="/tmp"))
    try:
        write_stack(name, folder, {key: value.replace("HERE", str(folder)) for key, value in values.items()})
        past = time.time() - 1000
        for path in folder.iterdir():
            os.utime(path, (past, past))
        yield folder
    finally:
        shutil.rmtree(folder)


def names_set(folder: Path) -> list[str]:
    """What main.cf sets, in order."""
    found = re.findall(r"^([a-z0-9_]+)\s*=", (folder / "main.cf").read_text(), re.MULTILINE)
    return [name for name in found if name not in MACHINE]


def first_service(folder: Path) -> str:
    """NAME/TYPE of the first line of master.cf."""
    lines = (folder / "master.cf").read_text().split("\n")
    return "/".join(next(line for line in lines if line[:1].isalnum()).split()[:2])


def recorded_options(folder: Path) -> list[list[str]]:
    """What is recorded of every stack."""
    return [
        *(["-n"], ["-nx"], ["-nf"], ["-Cuser"], ["-nCservice"], ["-M"], ["-Mf"], ["-P"], ["-F"]),
        ["-d", *names_set(folder)],
        ["-hx", "mydestination", "relay_domains", "smtpd_hard_error_limit", "postscreen_greet_wait"],
    ]


def more_options(folder: Path) -> list[list[str]]:
    """What both are asked besides where there is a Postfix."""
    one = first_service(folder)
    return [
        *(["-nfx"], ["-nh"], ["-nH"], ["-nx", "-ostress=yes"], ["-df", *names_set(folder)], ["-hfn"], ["-pn"]),
        *(["-Pf"], ["-Px"], ["-Pxh"], ["-PH"], ["-P", "*/unix"], ["-Ph", f"{one}/syslog_name"], ["-P", one]),
        *(["-Ff"], ["-Fx"], ["-FH", one], ["-Fh", f"{one}/command"], ["-F", "*/*/chroot"], ["-Fhf", "*/*/command"]),
        *(["-Mx"], ["-Mf", "smtp"], ["-M", one], ["-M", "*/inet"], ["-Mfx"]),
    ]


def listings(folder: Path, run: Run) -> str:
    """Everything that postconf says about a stack, in one text, with /etc/postfix for the folder."""
    parts = []
    for arguments in recorded_options(folder):
        status, out, err = run(["postconf", "-c", str(folder), *arguments])
        shown = " ".join(arguments if len(arguments) < 8 else [arguments[0], "NAMES"])
        # Whether there is a /etc/postfix/mysql is the machine's matter.
        complaints = sorted({line for line in err.decode().splitlines() if ": warning: open " not in line})
        body = out.decode() + "".join(f"! {line}\n" for line in complaints)
        parts.append(f"$ postconf {shown}\n{body}{'' if status == 0 else f'exit status {status}' + chr(10)}")
    return "\n".join(parts).replace(str(folder), "/etc/postfix")
