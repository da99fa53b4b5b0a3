"""The real Postfix's command and ours given the same input, side by side.

`compare` runs both with the same arguments in the same folder and asserts that standard output, exit status and
standard error agree. Lines of standard error count as a set: the order of Postfix's warnings is that of its hash
tables. Files that an edit touches are put back in between, and compared by bytes, owner and mode.

Ours runs in this process (the same function that the console script calls): a start of Python per input would
leave no time for thousands of inputs. DIFFERENTIAL_SEED and DIFFERENTIAL_COUNT choose the inputs; `./dev differential`
sets them. How often each rule of the grammar was tried is counted, and told at the end.
"""

import atexit
import contextlib
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from tests.interop.fair_choice import COUNT, LEAST, LONG, SEED

SHRINK = "DIFFERENTIAL_SHRINK" in os.environ
"""Whether to look for the smallest input that shows a difference: that takes minutes."""

REAL = Path("/usr/sbin")
TALLY: dict[str, Counter[str]] = {}
"""By kind of input ("main.cf", "hash"): how many inputs, and how many of each rule."""

T = TypeVar("T")


class Ran(NamedTuple):
    """What a command did."""

    status: int
    out: bytes
    err: tuple[str, ...]


def tried(kind: str, rules: Iterable[str], number: int = 1) -> None:
    """Count inputs of a kind, and the rules of its grammar that they hold."""
    counts = TALLY.setdefault(kind, Counter())
    counts[""] += number
    counts.update(rules)


def scarce(kind: str, rules: Iterable[str]) -> list[str]:
    """The rules that the long form tried too seldom."""
    counts = TALLY.get(kind, Counter())
    if not LONG or not counts:
        return []
    return [f"{kind}: {rule}: {counts[rule]}" for rule in rules if counts[rule] < LEAST]


def generated(
    strategy: SearchStrategy[T], share: float, short: int
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test that is run with `share` of the inputs, or with `short` in the short form; reproducible by the seed."""
    number = max(short, int(COUNT * share))

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        checked = settings(
            max_examples=number,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink) if SHRINK else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        return seed(SEED)(checked(given(strategy)(test)))

    return decorate


@cache
def environment() -> dict[str, str]:
    """What the real command is run with. Its sleep(3) returns at once: Postfix sleeps a second when it gives up.

    Where there is no C compiler it sleeps.
    """
    found = {"PATH": "/usr/sbin:/usr/bin:/bin"}
    compiler = shutil.which("cc") or shutil.which("tcc")
    if compiler is not None:
        folder = Path(tempfile.mkdtemp(prefix="differential-"))
        atexit.register(shutil.rmtree, folder)
        (folder / "sleep.c").write_text("unsigned sleep(unsigned seconds) { return seconds * 0; }\n")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", "sleep.so", "sleep.c"], cwd=folder, check=True)
        found["LD_PRELOAD"] = str(folder / "sleep.so")
    return found


def theirs(argv: list[str], stdin: bytes = b"") -> Ran:
    """The real command."""
    with subprocess.Popen(
        argv,
        executable=REAL / argv[0],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        out, err = process.communicate(stdin, timeout=60)
    return Ran(process.returncode, _without(process.pid, out), _lines(err.decode("utf-8", "surrogateescape")))


def _without(pid: int, out: bytes) -> bytes:
    """A listing without the process id in it."""
    out = re.sub(rb"(?m)^(process_id = )?%d$" % pid, rb"\1PID", out)
    return re.sub(rb"(/postconf) %d &" % pid, rb"\1 PID &", out)  # in the usual debugger_command


def ours(argv: list[str], stdin: bytes = b"") -> Ran:
    """Our command of the same name."""
    module = importlib.import_module(f"posthouse.commands.{argv[0]}")
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")
    source = io.TextIOWrapper(io.BytesIO(stdin), "utf-8", "surrogateescape")
    before = sys.stdout, sys.stderr, sys.stdin
    sys.stdout, sys.stderr, sys.stdin = out, err, source
    try:
        status = module.main(argv[1:])
        out.flush()
        err.flush()
    finally:
        sys.stdout, sys.stderr, sys.stdin = before
    written, said = out.buffer, err.buffer
    assert isinstance(written, io.BytesIO)
    assert isinstance(said, io.BytesIO)
    text = said.getvalue().decode("utf-8", "surrogateescape")
    return Ran(status, _without(os.getpid(), written.getvalue()), _lines(text))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(sorted(set(text.split("\n"))))


def compare(argv: list[str], stdin: bytes = b"") -> Ran:
    """Both do it, and do the same. The answer is what both said."""
    expected = theirs(argv, stdin)
    agree(argv, expected, ours(argv, stdin))
    return expected


def agree(argv: list[str], expected: Ran, found: Ran) -> None:
    """Complain about what differs, and show it."""
    if expected == found:
        return
    lines = [" ".join(map(repr, argv))]
    if expected.status != found.status:
        lines.append(f"status {expected.status} of Postfix, {found.status} of ours")
    for name, first, second in (("out", _shown(expected), _shown(found)), ("err", expected.err, found.err)):
        lines += [f"{name} Postfix: {line}" for line in first if line not in second]
        lines += [f"{name} ours:    {line}" for line in second if line not in first]
        if first != second and set(first) == set(second):
            lines.append(f"{name}: another number or order of the same lines")
    raise AssertionError("\n".join(lines))


def _shown(ran: Ran) -> list[str]:
    return [repr(line)[1:] for line in ran.out.split(b"\n")]


AGE = 1000
"""Seconds that files are set back: Postfix waits, and reads again, when a file changed within the last second."""


def write(path: Path, text: str) -> None:
    """An old file for both to read. Lone surrogates become odd bytes."""
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    age(path)


def age(path: Path) -> None:
    """Make the file look old."""
    moment = time.time() - AGE
    os.utime(path, (moment, moment))


class State(NamedTuple):
    """A file as an edit leaves it."""

    data: bytes
    owner: tuple[int, int]
    mode: int


def states(folder: Path) -> dict[str, State]:
    """The files of a folder."""
    found = {}
    for path in sorted(folder.iterdir()):
        # Postfix leaves its temporary file when it gives up.
        if path.is_file() and path.suffix != ".tmp":
            status = path.stat()
            found[path.name] = State(path.read_bytes(), (status.st_uid, status.st_gid), status.st_mode & 0o7777)
    return found


def restore(folder: Path, before: dict[str, State]) -> None:
    """The files as they were."""
    for path in folder.iterdir():
        if path.is_file() and path.name not in before:
            path.unlink()
    for name, state in before.items():
        path = folder / name
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        path.write_bytes(state.data)
        path.chmod(state.mode)
        os.chown(path, *state.owner)
        age(path)


def compare_edit(folder: Path, argv: list[str], stdin: bytes = b"") -> dict[str, State]:
    """Both change the files of the folder, and the files end the same."""
    before = states(folder)
    said = theirs(argv, stdin)
    left = states(folder)
    restore(folder, before)
    found = ours(argv, stdin)
    after = states(folder)
    restore(folder, before)
    agree(argv, said, found)
    for name in left.keys() | after.keys():
        assert left.get(name) == after.get(name), (argv, name)
    return left


def report() -> Iterator[str]:
    """What was tried, as lines."""
    for kind, counts in sorted(TALLY.items()):
        rules = ", ".join(f"{rule} {number}" for rule, number in sorted(counts.items()) if rule)
        yield f"{kind}: {counts['']} inputs ({rules})"
    yield f"seed {SEED}: {sum(counts[''] for counts in TALLY.values())} inputs given to both"
