"""Local delivery beside Postfix's local(8): the same aliases, .forward files and recipients; what each box holds and
each line of the log says must be the same.

Where we differ on purpose (docs/differences.md): the prose of notices, and an include file in a .forward that names the
user himself.
"""

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop.pair import Side, pair
from tests.system.machine import add_user, foreign_user, remove_user

ANN, JOE = "pairann", "pairjoe"

ALIASES = r"""
multi: local1, pairjoe
local1: pairjoe
multi2: local2, pairann, local3
local2: pairjoe, pairann
local3: local2
list: pairann, pairjoe, nobodyhere
owner-list: pairjoe
inc: :include:@folder@/etc/inc
owner-inc: pairann
inc2: :include:/nonexistent/x, pairann
inc3: :include:@folder@/etc/inc3
incmix: :include:@folder@/etc/incmix, pairjoe
incal: :include:@folder@/etc/incal
cmd69: "|echo no service; exit 69"
cmd99: "|exit 99"
cmdsig: "|kill -9 $$"
cmdout: "|echo 4.2.2 mailbox full; exit 75"
cmdout5: "|echo 5.2.1 disabled foo; echo second; exit 1"
cmdenv: "|env | egrep -v '^(_|PWD|SHLVL|OLDPWD)=' | sort >> @folder@/mail/env"
cmdcat: "|cat >> @folder@/mail/cmdcat"
file: @folder@/mail/file
filedir: @folder@/mail/dir/
loop1: loop2
loop2: loop1
self: \pairann, pairjoe
quoted: "pairann"
far: far@other.test, pairann
owner-far: pairjoe, pairann
broken: "|exit 0", nobodyhere, pairjoe
nest: nest2, "|cat >> @folder@/mail/cmdcat2"
nest2: "|env | grep RECIP >> @folder@/mail/nenv; cat >> @folder@/mail/cmdcat3", pairann+q
mailbox: \pairann
both: pairjoe, far@other.test
mixown: list, pairann
dup: far@other.test, far@other.test, Far@other.test, pairann, PAIRANN, pairann@localhost
ownercmd: "|cat>>@folder@/mail/ocmd", @folder@/mail/ofile, pairann, pairjoe@other.test
owner-ownercmd: pairjoe
twice: nobodyhere, nobodyhere, pairann, pairann+foo, pairann+bar, \pairann
defer: "|exit 75", pairann, far@other.test
exact+e: pairjoe
exact: pairann
cmddup: "|cat>>@folder@/mail/cmdcat", "|cat>>@folder@/mail/cmdcat", @folder@/mail/ff, @folder@/mail/ff
"""

FILES = {
    "etc/aliases": ALIASES,
    "etc/inc": "pairann\n# c\npairjoe, far@other.test\n",
    "etc/incmix": "pairann\n|true\n@folder@/mail/incfile\n",
    "etc/incal": "multi\nlist\n",
    "etc/inc3": 'pairann pairjoe\n#\n"|cat>>@folder@/mail/ic" , far@other.test (c)\n  pairann+z\nfoo <y@other.test>\n',
}

MAIN_CF = """
recipient_delimiter = +
transport_maps = inline:{ other.test=smtp:[127.0.0.1]:@sink@ }
local_recipient_maps =
forward_path = @folder@/fwd/$user${recipient_delimiter}${extension}, @folder@/fwd/$user
"""

FORWARDS = (
    ("pairann", {ANN: "pairjoe\n"}),
    ("pairann", {ANN: "\\pairann, pairjoe\n"}),
    ("pairann", {ANN: "pairann@pair.test\nfar@other.test\n"}),
    ("pairann", {ANN: "far@other.test\npairann+x\n"}),
    ("pairann", {ANN: "\\pairjoe\n", JOE: "far@other.test\n"}),
    ("pairann", {ANN: "pairjoe\n", JOE: "pairann\n"}),
    (
        "pairann+x",
        {ANN: "\"|cat >> @folder@/mail/fcmd; env | sort | egrep -v '^(_|PWD|SHLVL|OLDPWD)=' >> @folder@/mail/fenv\""},
    ),
    ("pairann", {ANN: '"|exit 75", \\pairann\n'}),
    ("pairann", {ANN: '"|exit 1", \\pairann\n'}),
    ("pairann", {ANN: "@folder@/mail/ffile\n@folder@/mail/fdir/\n"}),
    ("pairann", {ANN: "\n# nothing\n"}),
    ("pairann+x", {ANN: "far@other.test\n", f"{ANN}+x": "pairjoe\n"}),
    ("pairann", {ANN: "multi, far@other.test\n"}),
    ("mailbox", {ANN: "far@other.test\n"}),
    ("list", {ANN: "pairjoe\n"}),
)

NAMES = (
    *("multi", "multi2", "local3", "list", "inc", "inc2", "inc3", "incmix", "incal", "cmd69", "cmd99", "cmdsig"),
    *("cmdout", "cmdout5", "cmdenv", "cmdcat", "file", "filedir", "loop1", "loop2", "self", "quoted", "far", "broken"),
    *("nest", "nest+e", "both", "mixown", "dup", "ownercmd", "twice", "defer", "exact+e", "exact+f", "cmddup"),
    *("pairann+ext", "pairann+", "+x", "nobodyhere", "Multi+Ext", "PAIRANN", "postmaster", '"a b"', "root"),
)


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    """Both, with two users of the system."""
    if foreign_user(ANN) or foreign_user(JOE):
        pytest.skip(f"there are users {ANN} and {JOE} here")
    with pair(MAIN_CF, files=FILES) as both:
        try:
            for name in (ANN, JOE):
                remove_user(name)
                add_user(name, "x")
            yield both
        finally:
            for name in (ANN, JOE):
                remove_user(name)


def _prepare(side: Side, forwards: dict[str, str]) -> None:
    folder = side.folder / "fwd"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755)
    for name, text in forwards.items():
        (folder / name).write_text(side.fill(text))
        shutil.chown(folder / name, name.partition("+")[0])
    for path in (side.folder / "mail").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    side.capture.got.clear()


def _notice(text: str) -> str:
    """A notice's first part is prose."""
    return re.sub(
        r"^This is the mail system.*?(?=^<)|^The mail server.*?(?=^<)", "", text, flags=re.MULTILINE | re.DOTALL
    )


def _boxes(side: Side) -> list[tuple[str, str]]:
    """The messages in each box, in no order."""
    found = [
        (f"{got.recipient.decode()} {got.sender.decode()}", side.calm(got.content.decode()).replace("\r", ""))
        for got in side.capture.got
    ]
    for path in (side.folder / "mail").rglob("*"):
        if path.is_file():
            name = "dir" if path.parent.name == "new" else path.name
            text = _notice(side.calm(path.read_text()))
            found += [(name, message) for message in re.split(r"^(?=From \S+ )", text, flags=re.MULTILINE)]
    return sorted(found)


def _deliver(side: Side, recipient: str, forwards: dict[str, str]) -> tuple[list[str], list[tuple[str, str]]]:
    _prepare(side, forwards)
    mark = len(side.text())
    side.do("sendmail", "-f", "from@pair.test", "--", f"{recipient}@pair.test", stdin="Subject: t\n\nbody\n")
    side.settled()
    lines = [line for line in side.lines(r"postfix/(local|smtp|bounce|error)", mark) if "fatal" not in line]
    lines += [re.sub(r"size=\d+", "size", line) for line in side.lines(r"postfix/qmgr.*from=<", mark)]
    boxes = _boxes(side)
    side.run("postsuper", "-d", "ALL")
    return sorted(lines), boxes


@pytest.mark.parametrize(
    ("recipient", "forwards"), [*((name, {}) for name in NAMES), *FORWARDS], ids=lambda value: str(value)[:60]
)
def test_it_is_delivered_as_by_postfix(sides: tuple[Side, Side], recipient: str, forwards: dict[str, str]) -> None:
    with ThreadPoolExecutor(2) as threads:
        theirs, ours = threads.map(lambda side: _deliver(side, recipient, forwards), sides)
    assert ours[0] == theirs[0]
    assert ours[1] == theirs[1]
