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
from tests.interop.differential import REAL, Ran, agree, generated, ours, scarce, theirs, tried, write
from tests.interop.fair_choice import one_of, some

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
    before = Path.cwd()
    os.chdir(made)  # "hash:" makes .db where it stands
    yield made
    os.chdir(before)
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
    agree(argv, expected, as_written(argv, expected, found))
    return expected


def as_written(argv: list[str], expected: Ran, found: Ran) -> Ran:
    """Ours, without what Postfix has found and not yet written when it gives up: docs/differences.md."""
    if "-q" in argv and "-" in argv and any("fatal: " in line for line in expected.err):
        assert found.out.startswith(expected.out), (argv, expected.out, found.out)
        return found._replace(out=expected.out)
    return found


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
    listed: list[Ran] = []
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
            listed.append(ran._replace(out=b"\n".join(rows)))
    agree(argv, said[0], said[1])
    for one in listed:
        agree([*argv, "and then -s"], listed[0], one)


MAKING = ("-f", "-w", "-r", "-u", "-N", "-n", "-o", "-p")
ASKING = ("-f", "-u")
CHANGING = ("-f", "-r", "-w", "-u")
ALIASING = ("-f", "-w", "-r", "-N", "-n", "-p")


@pytest.mark.parametrize("kind", sorted(KEYED))
def test_files_are_made_and_read_alike(folder: Path, kind: str) -> None:
    if not supported(kind):
        pytest.skip(f"this Postfix has no {kind} tables")

    @generated(st.tuples(grammar.source(), some(MAKING, most=6), some(ASKING)), 0.048, 8)
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
    @generated(st.tuples(grammar.source(), grammar.source(), some(CHANGING, most=2)), 0.03, 4)
    def check(made: tuple[grammar.Made, grammar.Made, list[str]]) -> None:
        first, second, flags = made
        tried(kind, (*first.rules, *second.rules, "-i", "-d", *flags), 2 + len(second.keys))
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
        agree([*command, "-s", spec], *(Ran(0, rows, ()) for rows in left))

    check()


@pytest.mark.parametrize("kind", ["hash", "lmdb"])
def test_alias_files_are_made_alike(folder: Path, kind: str) -> None:
    if not supported(kind):
        pytest.skip(f"this Postfix has no {kind} tables")

    @generated(
        st.tuples(grammar.alias_source(), some(ALIASING, most=4)),
        0.04,
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


@generated(st.tuples(grammar.source(), some(ASKING)), 0.05, 20)
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


# Each of the flags that do something, and one that there is not.
REGEXP_FLAGS, PCRE_FLAGS = "imxq", "imsxAEUXq"


@generated(grammar.pattern_source(REGEXP_FLAGS), 0.1, 40)
def test_regexp(folder: Path, source: grammar.Made) -> None:
    tried("regexp", source.rules, 1 + len(source.keys))
    write(folder / "source", source.text)
    ask(folder, f"regexp:{folder}/source", source.keys)


@generated(grammar.pattern_source(PCRE_FLAGS), 0.1, 40)
def test_pcre(folder: Path, source: grammar.Made) -> None:
    tried("pcre", source.rules, 1 + len(source.keys))
    write(folder / "source", source.text)
    ask(folder, f"pcre:{folder}/source", source.keys)


@generated(st.tuples(grammar.inline_spec(), some(ASKING)), 0.17, 20)
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
    @generated(strategy, 0.12, 12)
    def check(spec: grammar.Made) -> None:
        tried(kind, spec.rules, 1 + len(spec.keys))
        ask(folder, spec.text, spec.keys)

    check()


@generated(st.tuples(grammar.words(), grammar.words(), some(["-f"])), 0.05, 8)
def test_environ_and_fail(folder: Path, made: tuple[str, str, list[str]]) -> None:
    first, second, flags = made
    tried("environ", ("environ", *flags), 3)
    tried("fail", ("fail",), 2)
    ask(folder, "environ:", ["mail_config", "MAIL_CONFIG", first, second], flags)
    ask(folder, "fail:x", [first, second])


MESSAGE = ("-b", "-h", "-m")
TABLES = ["static:x", "regexp:{{/a/ found}}", "pcre:{{/(b.*)/ $1}}"]


@generated(
    st.tuples(
        grammar.message(),
        some(MESSAGE),
        st.sampled_from(TABLES),
    ),
    0.1,
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
        some(OPTIONS, most=4),
        some(MAPS, most=2),
    ),
    0.4,
    25,
)
def test_command_lines(folder: Path, made: tuple[str, list[str], list[str]]) -> None:
    tool, options, maps = made
    tried("command line", [option.partition(" ")[0] for option in options])
    write(folder / "source", "a b\n")
    flags = [word for option in options for word in option.split()]
    if {"-i", "-n"} <= {*flags}:
        return  # a file that then holds keys with and without a final NUL: docs/differences.md
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
    agree(argv, said[0], as_written(argv, said[0], said[1]))


FILES = ("f1", "f2", "none", "{}/f1", "f1 f2", "f1,f2", ",", "empty", ".", "odd", "f1;f2", "$1", "")
FILE_TABLES = {
    "static": "static:{0}",
    "static in braces": "static:{{ {0} }}",
    "inline": "inline:{{{{ a = {0} }}, {{ b = {1} }}}}",
    "randmap": "randmap:{{ {{ {0} }} }}",
    "texthash": "a {0}\nb {1}\n",
    "cidr": "1.2.3.4 {0}\n10.0.0.0/8 {1}\n",
    "regexp": "/a/ {0}\n/(b)/ {1}\n",
    "pcre": "/a/ {0}\n/(b)/ {1}\n",
    "pipemap": "pipemap:{{{{static:{0}}}, {{inline:{{YQo= = {1}}}}}}}",
    "unionmap": "unionmap:{{static:f1, {{static:{0}}}}}",
    "hash": "a {0}\nb {1}\n",
}


@generated(st.tuples(one_of(tuple(FILE_TABLES)), one_of(FILES), one_of(FILES), some(["-f", "-u"])), 0.33, 40)
def test_values_that_name_files(folder: Path, made: tuple[str, str, str, list[str]]) -> None:
    kind, first, second, flags = made
    tried("-F", (kind, f"file {first}"))
    text = FILE_TABLES[kind].format(first, second).replace("{}", str(folder))
    for name, content in (("f1", b"one\n"), ("f2", b"a"), ("empty", b""), ("odd", b"x\xff\0y")):
        (folder / name).write_bytes(content)
    spec = text
    if "\n" in text:
        spec = f"{kind}:{folder}/source"
        write(folder / "source", text)
    if kind == "hash":
        build("postmap", folder, kind, text, ["-F"])
    command = ["postmap", "-F", *flags, "-c", str(folder)]
    for key in ("a", "1.2.3.4"):
        same([*command, "-q", key, spec])
    same([*command, "-q", "-", spec], b"a\nb\nc\n10.1.1.1\n")
    same([*command, "-s", spec], ordered=False)
    if kind != "hash":  # there it succeeds, once
        same([*command, "-d", "a", spec])


def test_every_rule_was_tried_often_enough() -> None:
    rules = {
        **dict.fromkeys(KEYED, (*grammar.SOURCE_RULES, *MAKING, "-i", "-d")),
        "cdb": (*grammar.SOURCE_RULES, *MAKING),
        "aliases": (*grammar.ALIAS_RULES, *ALIASING),
        "texthash": (*grammar.SOURCE_RULES, *ASKING),
        "cidr": (*grammar.CIDR_RULES, "cidr IPv6"),
        "regexp": (*grammar.PATTERN_RULES, "negated", "substitution", *(f"flag {flag}" for flag in REGEXP_FLAGS)),
        "pcre": (*grammar.PATTERN_RULES, "negated", "substitution", *(f"flag {flag}" for flag in PCRE_FLAGS)),
        "inline": (*grammar.INLINE_RULES, *ASKING),
        "static": grammar.STATIC_RULES,
        "randmap": grammar.RANDOM_RULES,
        "pipemap": grammar.combined_rules("pipemap"),
        "unionmap": grammar.combined_rules("unionmap"),
        "environ": ("environ", "-f"),
        "fail": ("fail",),
        "-F": (*FILE_TABLES, *(f"file {name}" for name in FILES)),
        "message": ("message", "multipart", *MESSAGE),
        "command line": tuple(option.partition(" ")[0] for option in OPTIONS),
    }
    assert [line for kind, wanted in rules.items() for line in scarce(kind, wanted)] == []
