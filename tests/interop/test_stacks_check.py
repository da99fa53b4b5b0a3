"""What `postfix check` and `posthouse check-takeover` say of the ten stacks: each line is true, and no more is said."""

import os
import re

import pytest

from tests.golden.stacks.stack import FOLDER, NAMES
from tests.interop.stack_host import laid_out

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the stacks drop to users of their own")

TABLES = {
    "amavis": ("relay_recipients", "virtual", "transport"),
    "backup-mx": ("relay_recipients", "transport"),
    "mailcow": ("sni.map",),
    "mailman": ("postfix_lmtp", "postfix_domains", "transport"),
}
"""What their owners make with postmap."""

ELSEWHERE = re.compile(
    r"does its server run\?|: no (user|group|command) |wider than this machine's own network|another host"
    r"|is not implemented so far|has no effect here"
)
"""Lines that another machine would say otherwise; and what becomes of parameters, which docs/reference has."""

RECORD = "RECORD_STACKS" in os.environ


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_a_stack(name: str) -> None:
    with laid_out(name) as host:
        if (host.folder / "etc" / "aliases").exists():
            host.newaliases()
        host.postmap(*TABLES.get(name, ()))
        lines = [f"check: {line}" for line in host.check()]
        report = host.takeover()
        assert report.err == ""
        lines += [line for line in host.shown(report.out).splitlines() if re.match("  [-?!] ", line)]
        lines = [line for line in lines if not ELSEWHERE.search(line)]
        said = re.sub(r"127\.0\.0\.1:[3-6]\d{4}\b", "127.0.0.1:PORT", "\n".join(lines) + "\n")
    path = FOLDER / name / "said.txt"
    if RECORD:
        path.write_text(said)
    assert path.read_text() == said
