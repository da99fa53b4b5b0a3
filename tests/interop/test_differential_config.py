"""postconf of Postfix and ours, given the same main.cf and master.cf: `./dev differential config [SEED] [COUNT]`."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.interop import main_cf_grammar as main_cf
from tests.interop import master_cf_grammar as master_cf
from tests.interop.differential import REAL, compare, compare_edit, generated, ours, scarce, theirs, tried, write
from tests.interop.fair_choice import LONG, some

pytestmark = pytest.mark.skipif(
    not (REAL / "postconf").exists(), reason="needs postfix (Debian: apt-get install postfix)"
)

MASTER = """\
smtp      inet  n       -       n       -       -       smtpd
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
slow      unix  -       -       n       -       -       smtp
local     unix  -       n       n       -       -       local
mailman   unix  -       n       n       -       -       pipe
  flags=FRX user=list argv=/bin/true ${nexthop} ${user}
policy    unix  -       n       n       -       0       spawn
  user=nobody argv=/bin/true
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One folder for both, written anew for each input."""
    made = Path(tempfile.mkdtemp(prefix="differential-"))
    (made / "master.cf").write_text(MASTER)
    yield made
    shutil.rmtree(made)


def own_entries() -> str:
    """The entries that generated values refer to."""
    return "compatibility_level = 3.6\nmyhostname = host.example.com\n" + "".join(
        f"{name} = {value}\n" for name, value in main_cf.VARIABLES.items()
    )


# The long form: a full file each time.
VALUES = st.lists(main_cf.expressions(), min_size=len(main_cf.TARGETS) if LONG else 1, max_size=len(main_cf.TARGETS))


@generated(VALUES, 0.04, 15)
def test_values_expand_alike(folder: Path, values: list[main_cf.Made]) -> None:
    for value in values:
        tried("expression", value.rules)
    write(
        folder / "main.cf",
        own_entries() + "".join(f"{n} = {v.text}\n" for n, v in zip(main_cf.TARGETS, values, strict=False)),
    )
    compare(["postconf", "-c", str(folder), "-nx"])
    compare(["postconf", "-c", str(folder), "-n"])


@generated(main_cf.broken(), 0.2, 60)
def test_broken_values_are_told_alike(folder: Path, value: main_cf.Made) -> None:
    tried("broken expression", value.rules)
    loops = "loop = x$loop\nloop2 = ${loop3}\nloop3 = $loop2\n" if "loop" in value.rules else ""
    write(folder / "main.cf", f"{own_entries()}{loops}relay_domains = {value.text}\n")
    for option in ("-nx", "-n"):
        if "loop" not in value.rules:
            compare(["postconf", "-c", str(folder), option])
            continue
        # Which pieces of a loop are told depends on where it is entered.
        expected, found = (run(["postconf", "-c", str(folder), option]) for run in (theirs, ours))
        loops = [any("unreasonable macro call nesting" in line for line in ran.err) for ran in (expected, found)]
        assert (expected.status, expected.out, loops[0]) == (found.status, found.out, loops[1])


def combined(*options: str) -> st.SearchStrategy[list[str]]:
    """Some of the options, each at most once, in any order."""
    return some(options, most=5)


VIEWS = ("-n", "-d", "-x", "-h", "-H", "-f", "-p", "-M", "-F", "-P", "-m", "-a", "-A", "-l", "-e", "-X", "-#")
LISTING = ("-n", "-x", "-h", "-f", "-p")
CLASSES = ("-Cbuiltin", "-Cservice", "-Cuser", "-Call", "-Cuser,service", "-C builtin", "-Cbad", "-C", "-o", "-oone=2")
NAMES = (
    "mydomain",
    "relayhost",
    "one",
    "slow_time_limit",
    "slow_destination_rate_delay",
    "nowhere",
    "smtp/inet",
    "*",
    "",
)


@generated(
    st.tuples(
        main_cf.layouts(),
        combined(*LISTING, *CLASSES),
        some(NAMES, most=4),
    ),
    0.3,
    40,
)
def test_listings_are_alike(folder: Path, chosen: tuple[main_cf.Made, list[str], list[str]]) -> None:
    text, options, names = chosen
    tried("listing", {*options, *(f"name {name}" for name in names)})
    write(folder / "main.cf", own_entries() + text.text)
    compare(["postconf", "-c", str(folder), *options, *names])


@generated(st.tuples(combined(*VIEWS), some(NAMES, most=2)), 0.2, 60)
def test_options_go_together_alike(folder: Path, chosen: tuple[list[str], list[str]]) -> None:
    options, names = chosen
    tried("options", {*options})
    write(folder / "main.cf", own_entries() + "relayhost = $one\nslow_time_limit = 7\n")
    compare_edit(folder, ["postconf", "-c", str(folder), *options, *names])


@generated(main_cf.layouts(), 0.2, 40)
def test_layouts_read_alike(folder: Path, text: main_cf.Made) -> None:
    tried("main.cf", text.rules)
    write(folder / "main.cf", text.text)
    compare(["postconf", "-c", str(folder), "-n"])


@pytest.fixture
def master(folder: Path) -> Iterator[Path]:
    """The folder, whose master.cf a test may write anew."""
    write(folder / "main.cf", own_entries())
    yield folder
    write(folder / "master.cf", MASTER)


@generated(st.tuples(master_cf.files(), master_cf.views()), 0.24, 60)
def test_services_are_listed_alike(master: Path, chosen: tuple[main_cf.Made, tuple[str, ...]]) -> None:
    text, view = chosen
    if "duplicate" in text.rules:
        return  # Postfix keeps the settings of services of one name and type together
    tried("master.cf", {*text.rules, *(option for option in view if option.startswith("-"))})
    write(master / "master.cf", text.text)
    compare(["postconf", "-c", str(master), *view])


@generated(st.tuples(master_cf.files(), master_cf.edits()), 0.4, 60)
def test_services_are_changed_alike(master: Path, chosen: tuple[main_cf.Made, tuple[str, ...]]) -> None:
    text, request = chosen
    if not text.text.endswith("\n"):
        return
    tried("edit of master.cf", {*text.rules, request[0]})
    write(master / "master.cf", text.text)
    compare_edit(master, ["postconf", "-c", str(master), *request])


@generated(st.tuples(main_cf.layouts(), master_cf.main_edits()), 0.4, 60)
def test_parameters_are_changed_alike(folder: Path, chosen: tuple[main_cf.Made, tuple[str, ...]]) -> None:
    text, request = chosen
    # Postfix glues a new entry to a last line without its end, and loses what follows a NUL: both damage the file.
    if not text.text.endswith("\n") or "\0" in text.text:
        return
    tried("edit of main.cf", {*text.rules, request[0] if request[0].startswith("-") else "name=value"})
    write(folder / "main.cf", text.text)
    compare_edit(folder, ["postconf", "-c", str(folder), *request])


def test_every_rule_was_tried_often_enough() -> None:
    # Left out of comparisons, and why: docs/differences.md.
    unchanged = {"no final newline", "NUL"}
    listed = [rule for rule in master_cf.FILE_RULES if rule != "duplicate"]
    changed = [rule for rule in master_cf.FILE_RULES if rule not in unchanged]
    assert [
        *scarce("expression", main_cf.EXPRESSION_RULES),
        *scarce("broken expression", main_cf.BREAKS),
        *scarce("listing", (*LISTING, *CLASSES, *(f"name {name}" for name in NAMES))),
        *scarce("options", VIEWS),
        *scarce("main.cf", main_cf.LAYOUT_RULES),
        *scarce("master.cf", (*listed, *master_cf.VIEWS, *master_cf.MORE)),
        *scarce("edit of master.cf", (*changed, *master_cf.EDITS)),
        *scarce("edit of main.cf", (*(r for r in main_cf.LAYOUT_RULES if r not in unchanged), *master_cf.MAIN_EDITS)),
    ] == []
