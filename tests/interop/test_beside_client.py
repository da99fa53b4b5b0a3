"""The SMTP and LMTP client beside Postfix's: the same scripts are played to both, and what they log, send and report
must be the same."""

import contextlib
import re
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.interop.client_scripts import CASES, TRANSPORTS, Case
from tests.interop.pair import Side, pair
from tests.interop.scripted_servers import Answer, Heard, scripted_servers

SHOWN = 1500
"""Characters of a log line that are compared: how many of a very long one are written depends on the queue id's."""

MAIN_CF = """
transport_maps = texthash:@folder@/etc/tmap
smtp_connection_cache_on_demand = no
smtputf8_enable = yes
maximal_queue_lifetime = 1d
relay_domains = static:yes
smtpd_client_connection_count_limit = 0
disable_vrfy_command = yes
local_recipient_maps =
"""

FILES = {
    "etc/tmap": "",
    "etc/replies": "/^(\\d+)([ -])(.*)filter(.*)/ 550${2}5.7.7 changed $3$4\n/^250([ -])XHIDE/ 250${1}XHIDDEN\n",
    "etc/status": "/^5(.*soften.*)/ 4$1\n",
}


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one case on one side."""

    log: list[str]
    heard: list[list[str]]
    second: list[list[str]]
    notice: str


def _send(side: Side, name: str, case: Case) -> None:
    with smtplib.SMTP("127.0.0.1", side.smtp, timeout=60) as smtp:
        smtp.ehlo("c")
        commands = [f"MAIL FROM:<{case.sender}>{case.mail}"]
        commands += [f"RCPT TO:<{local}@{name}.test>{case.rcpt}" for local in case.recipients]
        for command in commands:
            smtp.send(command.encode("latin-1") + b"\r\n")
            code, text = smtp.getreply()
            assert code == 250, (name, command, code, text)
        code, text = smtp.data(case.content.replace("\n", "\r\n").encode("latin-1"))
        assert code == 250, (name, code, text)


def _play(side: Side, servers: dict[str, Heard]) -> dict[str, Played]:
    rows = ["from.test smtp:[127.0.0.1]:@sink@"]
    for name, case in CASES.items():
        hosts = f"[127.0.0.1]:{servers[name].port}"
        if case.transport == "lmtp":
            hosts = f"inet:{hosts}"
        if case.second is not None:
            hosts += f", [127.0.0.1]:{servers[name + '-second'].port}"
        rows.append(f"{name}.test {case.transport}:{hosts}")
    (side.folder / "etc" / "tmap").write_text(side.fill("\n".join(rows) + "\n"))
    for name, case in CASES.items():
        _send(side, name, case)
    side.settled(90)
    return {name: _played(side, name, servers) for name in CASES}


def _calm(side: Side, text: str, servers: dict[str, Heard]) -> str:
    text = re.sub(r"message size \d+ exceeds", "message size N exceeds", side.calm(text))
    for name, heard in servers.items():
        text = re.sub(rf"\b{heard.port}\b", f"@{name}@", text)
    return text


def _played(side: Side, name: str, servers: dict[str, Heard]) -> Played:
    text = side.text()
    ids = {found[1] for found in re.finditer(rf"postfix/\w+\[\d+\]: (\w+): to=<[^>]*@{name}\.test>", text)}
    own = "|".join(str(heard.port) for key, heard in servers.items() if key in (name, f"{name}-second"))
    lines = []
    for line in text.splitlines():
        found = re.search(r"postfix/(?:[\w-]+/)?(?:smtp|lmtp)\[\d+\]: (?:(\w+): )?(.*)", line)
        if found and (found[1] in ids or re.search(rf":(?:{own})\b|\b{name}\.test", line)):
            lines.append(_calm(side, line, servers)[:SHOWN])
    notices = [one.content.decode("latin-1") for one in side.capture.got if f"@{name}.test".encode() in one.content]
    reports = [part for content in notices for part in content.split("\r\n\r\n") if "Final-Recipient:" in part[:20]]
    # What is not ASCII is of type utf-8 here (docs/differences.md).
    notice = _calm(side, "\n\n".join(sorted(reports)), servers).replace("Recipient: utf-8;", "Recipient: rfc822;")

    def said(key: str) -> list[list[str]]:
        return [[_calm(side, line, servers) for line in session] for session in servers[key].sessions]

    heard = said(name)
    if "exceeds size limit" in notice:  # Postfix closes without a word here (docs/differences.md)
        heard = [[line for line in session if line != "QUIT"] for session in heard]
    return Played(
        sorted(lines),
        sorted(heard),
        sorted(said(name + "-second")) if name + "-second" in servers else [],
        notice,
    )


def _scripts() -> dict[str, dict[str, Answer]]:
    scripts = {name: case.script for name, case in CASES.items()}
    return scripts | {f"{name}-second": case.second for name, case in CASES.items() if case.second is not None}


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, tuple[Played, Played]]]:
    """Every case, on both sides: theirs and ours."""
    master = "".join(f"{name} unix - - n - - {command}\n" for name, command in TRANSPORTS.items())
    with contextlib.ExitStack() as stack:
        sides = stack.enter_context(pair(MAIN_CF, master, FILES))
        servers = [stack.enter_context(scripted_servers(_scripts())) for _ in sides]
        threads = stack.enter_context(ThreadPoolExecutor(2))
        theirs, ours = threads.map(_play, sides, servers)
        yield {name: (theirs[name], ours[name]) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_a_server_gets_and_the_log_says_what_postfix_does(played: dict[str, tuple[Played, Played]], name: str) -> None:
    theirs, ours = played[name]
    assert theirs.log, "nothing was logged"
    assert ours == theirs
