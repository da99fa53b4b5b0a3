"""postmap and postalias of Postfix and ours, given the same: `./dev differential tables [SEED] [COUNT]`.

An input is a source (or a table's name) or a key asked of it. What the two make is also read by the other.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.interop import table_grammar as grammar
from tests.interop.differential import REAL, TALLY, Ran, agree, generated, ours, scarce, theirs, tried, write

KEYED = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb"}
MAIN = "compatibility_level = 3.6\nmyhostname = host.example.com\n"

pytestmark = pytest.mark.skipif(
    not (REAL / "postmap").exists(), reason="needs postfix (Debian: apt-get install postfix)"
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One folder for both; sources are written anew for each input."""
    made = Path(tempfile.mkdtemp(prefix="differential-tables-"))
    (made / "main.cf").write_text(MAIN)
    yield made
    shutil.rmtree(made)


def supported(kind: str) -> bool:
    """Whether this Postfix has the type."""
    return kind.encode() in theirs(["postconf", "-m"]).out.split()


def stdin(keys: Sequence[str]) -> bytes:
    """Keys as `-q -` and `-d -` read them."""
    return "".join(f"{key}\n" for key in keys if "\n" not in key).encode("utf-8", "surrogateescape")


# Debian's libpcre2 and the one that the pcre2 package brings along may be of different age.
PCRE_WORDS = re.compile(r"(?<=error in regex) at offset \d+: .*")
# Debian's own addition.
PACKAGE = re.compile(r"\. Is the postfix-.* package installed\?")


def same(argv: list[str], data: bytes = b"", *, ordered: bool = True) -> Ran:
    """Both say the same; `ordered`: in the same order."""
    expected, found = (
        ran._replace(err=tuple(PCRE_WORDS.sub("", line) for line in ran.err))
        for ran in (theirs(argv, data), ours(argv, data))
    )
    if not ordered:
        expected, found = (ran._replace(out=b"\n".join(sorted(ran.out.split(b"\n")))) for ran in (expected, found))
    agree(argv, expected, found)
    return expected


def ask(folder: Path, spec: str, keys: Sequence[str], flags: Sequence[str] = ()) -> Ran:
    """Many keys at once, and one alone."""
    command = ["postmap", "-c", str(folder), *flags]
    same([*command, "-q", keys[0], spec])
    return same([*command, "-q", "-", spec], stdin(keys))


def build(tool: str, folder: Path, kind: str, text: str, flags: Sequence[str], data: bytes | None = None) -> None:
    """Both make a file, say the same of it, and both find the same in both files."""
    path = folder / "source"
    write(path, text)
    file = Path(f"{path}{KEYED[kind]}")
    listed: list[list[bytes]] = []
    said: list[Ran] = []
    argv = [tool, "-c", str(folder), *flags, f"{kind}:{path}"]
    for run in (theirs, ours):
        file.unlink(missing_ok=True)
        said.append(run(argv, data or b""))
        if not file.exists():
            continue
        for reader in (theirs, ours) if kind != "cdb" else (ours,):  # Postfix does not list cdb files
            ran = reader([tool, "-c", str(folder), "-s", f"{kind}:{path}"])
            rows = [line for line in ran.out.split(b"\n") if not line.startswith(b"YP_LAST_MODIFIED")]
            if kind == "cdb":
                # Postfix's cdb files keep all rows of a key, of which only the first is ever found.
                rows = list({row.partition(b"\t")[0]: row for row in reversed(rows)}.values())
            rows.sort()
            listed.append([str(ran.status).encode(), *rows])
    agree(argv, said[0], said[1])
    assert all(one == listed[0] for one in listed), (argv, text, listed)


MAKING = st.lists(st.sampled_from(["-f", "-w", "-r", "-u", "-N", "-n", "-o", "-p"]), max_size=2, unique=True)


@pytest.mark.parametrize("kind", sorted(KEYED))
def test_files_are_made_and_read_alike(folder: Path, kind: str) -> None:
    if not supported(kind):
        pytest.skip(f"this Postfix has no {kind} tables")

    @generated(st.tuples(grammar.source(), MAKING, st.sampled_from([[], [], ["-f"], ["-u"]])), 0.03, 8)
    def check(made: tuple[grammar.Made, list[str], list[str]]) -> None:
        source, making, asking = made
        tried(kind, (*source.rules, *making, *asking), 1 + len(source.keys))
        build("postmap", folder, kind, source.text, making)
        keys = [key for key in source.keys if key or kind != "lmdb"]
        ask(folder, f"{kind}:{folder}/source", keys, asking)

    check()


@pytest.mark.parametrize("kind", ["hash", "btree", "lmdb"])
def test_files_are_changed_alike(folder: Path, kind: str) -> None:
    if not supported(kind):
        pytest.skip(f"this Postfix has no {kind} tables")

    # Without -n and -N: Postfix mixes rows that end in NUL and rows that do not, here a file has one kind.
    @generated(
        st.tuples(grammar.source(), grammar.source(), st.sampled_from([[], ["-f"], ["-r"], ["-w"], ["-u"]])), 0.012, 4
    )
    def check(made: tuple[grammar.Made, grammar.Made, list[str]]) -> None:
        first, second, flags = made
        tried(kind, (*first.rules, *second.rules, "-i", "-d"), 2 + len(second.keys))
        spec = f"{kind}:{folder}/source"
        command = ["postmap", "-c", str(folder)]
        write(folder / "source", first.text)
        left: list[bytes] = []
        said: list[list[Ran]] = []
        for run in (theirs, ours):
            Path(f"{folder}/source{KEYED[kind]}").unlink(missing_ok=True)
            said.append(
                [
                    run([*command, spec]),
                    run([*command, "-i", *flags, spec], second.text.encode("utf-8", "surrogateescape")),
                    run([*command, "-d", second.keys[0], spec]),
                    run([*command, "-d", "-", spec], stdin([key for key in second.keys[1:3] if key])),
                ]
            )
            left.append(b"\n".join(sorted(theirs([*command, "-s", spec]).out.split(b"\n"))))
        for step, (expected, found) in enumerate(zip(*said, strict=True)):
            agree([*command, f"step {step}", spec], expected, found)
        assert left[0] == left[1]

    check()


@pytest.mark.parametrize("kind", ["hash", "lmdb"])
def test_alias_files_are_made_alike(folder: Path, kind: str) -> None:
    if not supported(kind):
        pytest.skip(f"this Postfix has no {kind} tables")

    @generated(
        st.tuples(grammar.alias_source(), st.lists(st.sampled_from(["-f", "-w", "-r", "-N", "-n", "-p"]), max_size=1)),
        0.03,
        10,
    )
    def check(made: tuple[grammar.Made, list[str]]) -> None:
        source, flags = made
        tried("aliases", (*source.rules, *flags), 1 + len(source.keys))
        build("postalias", folder, kind, source.text, flags)
        # LMDB refuses an empty key, which ends Postfix's postalias.
        keys = [key for key in source.keys if key or kind != "lmdb"]
        same(["postalias", "-c", str(folder), "-q", "-", f"{kind}:{folder}/source"], stdin(keys))

    check()


@generated(st.tuples(grammar.source(), st.sampled_from([[], [], ["-f"], ["-u"]])), 0.04, 20)
def test_texthash(folder: Path, made: tuple[grammar.Made, list[str]]) -> None:
    source, flags = made
    tried("texthash", (*source.rules, *flags), 1 + len(source.keys))
    write(folder / "source", source.text)
    spec = f"texthash:{folder}/source"
    ask(folder, spec, source.keys, flags)
    same(["postmap", "-c", str(folder), *flags, "-s", spec], ordered=False)


@generated(grammar.cidr_source(), 0.08, 40)
def test_cidr(folder: Path, source: grammar.Made) -> None:
    tried("cidr", source.rules, 1 + len(source.keys))
    write(folder / "source", source.text)
    ask(folder, f"cidr:{folder}/source", source.keys)


@generated(grammar.pattern_source("imxq"), 0.1, 40)
def test_regexp(folder: Path, source: grammar.Made) -> None:
    tried("regexp", source.rules, 1 + len(source.keys))
    write(folder / "source", source.text)
    ask(folder, f"regexp:{folder}/source", source.keys)


@generated(grammar.pattern_source("imsxAEUXq"), 0.1, 40)
def test_pcre(folder: Path, source: grammar.Made) -> None:
    tried("pcre", source.rules, 1 + len(source.keys))
    write(folder / "source", source.text)
    ask(folder, f"pcre:{folder}/source", source.keys)


@generated(st.tuples(grammar.inline_spec(), st.sampled_from([[], [], ["-f"], ["-u"]])), 0.04, 20)
def test_inline(folder: Path, made: tuple[grammar.Made, list[str]]) -> None:
    spec, flags = made
    tried("inline", (*spec.rules, *flags), 1 + len(spec.keys))
    ask(folder, spec.text, spec.keys, flags)
    same(["postmap", "-c", str(folder), *flags, "-s", spec.text], ordered=False)


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [
        ("static", grammar.static_spec()),
        ("randmap", grammar.random_spec()),
        ("pipemap", grammar.combined_spec("pipemap")),
        ("unionmap", grammar.combined_spec("unionmap")),
    ],
)
def test_names_that_are_tables(folder: Path, kind: str, strategy: st.SearchStrategy[grammar.Made]) -> None:
    @generated(strategy, 0.03, 12)
    def check(spec: grammar.Made) -> None:
        tried(kind, spec.rules, 1 + len(spec.keys))
        ask(folder, spec.text, spec.keys)

    check()


@generated(st.tuples(grammar.words(), grammar.words(), st.sampled_from([[], ["-f"]])), 0.02, 8)
def test_environ_and_fail(folder: Path, made: tuple[str, str, list[str]]) -> None:
    first, second, flags = made
    tried("environ", ("environ", *flags), 3)
    tried("fail", ("fail",), 2)
    ask(folder, "environ:", ["mail_config", "MAIL_CONFIG", first, second], flags)
    ask(folder, "fail:x", [first, second])


TABLES = ["static:x", "regexp:{{/a/ found}}", "pcre:{{/(b.*)/ $1}}"]


@generated(
    st.tuples(
        grammar.message(),
        st.lists(st.sampled_from(["-b", "-h", "-m"]), max_size=3, unique=True),
        st.sampled_from(TABLES),
    ),
    0.05,
    25,
)
def test_messages(folder: Path, made: tuple[grammar.Made, list[str], str]) -> None:
    text, flags, spec = made
    tried("message", (*text.rules, *flags))
    same(["postmap", "-c", str(folder), *flags, "-q", "-", spec], text.text.encode("utf-8", "surrogateescape"))


OPTIONS = ["-b", "-f", "-F", "-h", "-i", "-m", "-n", "-N", "-o", "-p", "-r", "-s", "-u", "-U", "-w", "-q x", "-d x", "-q -",
           "-Z", "-q", "-fN", "--", "-c /nonexistent"]  # fmt: skip
MAPS = ["hash:{}/made", "{}/made", "texthash:{}/source", "static:x", "hash:{}/none", "nosuch:x", "hash:", ":x", "regexp:{}/source",
        "inline:{{a=b}}", "cidr:{}/none", "lmdb:{}/none"]  # fmt: skip


@generated(
    st.tuples(
        st.sampled_from(["postmap", "postmap", "postalias"]),
        st.lists(st.sampled_from(OPTIONS), max_size=3),
        st.lists(st.sampled_from(MAPS), max_size=2),
    ),
    0.05,
    25,
)
def test_command_lines(folder: Path, made: tuple[str, list[str], list[str]]) -> None:
    tool, options, maps = made
    tried("command line", [option.partition(" ")[0] for option in options])
    write(folder / "source", "a b\n")
    flags = [word for option in options for word in option.split()]
    if "-F" in flags and not all(one.startswith("hash:") for one in maps):
        return  # with -F Postfix also takes the values of other tables for names of files
    argv = [tool, "-c", str(folder), *flags, *(one.format(folder) for one in maps)]
    said: list[Ran] = []
    for run in (theirs, ours):
        for name in os.listdir(folder):
            if name not in ("main.cf", "source"):
                (folder / name).unlink()
        write(folder / "made", "x y\na: b\n")
        run(["postmap", "-w", "-c", str(folder), f"hash:{folder}/made"])
        ran = run(argv, b"x\nx q\n")
        said.append(ran._replace(err=tuple(PACKAGE.sub("", line) for line in ran.err)))
    agree(argv, said[0], said[1])


def test_every_rule_was_tried_often_enough() -> None:
    for kind in TALLY:
        if kind in {*KEYED, "texthash", "cidr", "regexp", "pcre", "inline", "static", "randmap", "pipemap", "unionmap"}:
            assert not scarce(kind, [""]), scarce(kind, [""])
