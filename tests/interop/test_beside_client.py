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
from tests.system.machine import eventually

SHOWN = 1500
"""Characters of a log line that are compared: how many of a very long one are written depends on the queue id's."""

MAIN_CF = """
transport_maps = texthash:@folder@/etc/tmap
smtp_connection_cache_on_demand = no
connection_cache_ttl_limit = 300s
smtputf8_enable = yes
maximal_queue_lifetime = 1d
relay_domains = static:yes
proxy_write_maps = proxy:btree:@folder@/data/sasl
smtpd_client_connection_count_limit = 0
disable_vrfy_command = yes
notify_classes = protocol
error_notice_recipient = postmaster@from.test
local_recipient_maps =
"""

CHECKS = """
/^(\\S*)warn/ WARN a warning
/bare/ WARN
/^(\\S*)info/ INFO some info
/^(\\S*)replace(.*)/ REPLACE {0}: replaced $2
/^(\\S*)prepend/ PREPEND {0}: prepended
/^(\\S*)strip/ STRIP gone
/^(\\S*)ignore/ IGNORE
/^(\\S*)dunno/ DUNNO
/^(\\S*)ok:/ OK
/^(\\S*)reject/ REJECT no
/^(\\S*)hold/ HOLD
/^(\\S*)discard/ DISCARD
/^(\\S*)filter/ FILTER smtp:x
/^(\\S*)redirect/ REDIRECT a@b.test
/^(\\S*)bcc/ BCC a@b.test
/^(\\S*)pass/ PASS
/^(\\S*)nonsense/ NONSENSE x
/^(\\S*)empty/ REPLACE
/^(\\S*)badreplace/ REPLACE no header
"""

FILES = {
    "etc/tmap": "",
    "etc/replies": "/^(\\d+)([ -])(.*)filter(.*)/ 550${2}5.7.7 changed $3$4\n/^250([ -])XHIDE/ 250${1}XHIDDEN\n",
    "etc/head": CHECKS.format("X-Head"),
    "etc/mime": CHECKS.format("X-Mime") + "/^Content-Type: text.html/ REPLACE Content-Type: text/x-changed\n",
    "etc/nest": CHECKS.format("X-Nest"),
    "etc/body": CHECKS.format("X-Body"),
    "etc/status": "/^5(.*soften.*)/ 4$1\n",
}


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one case on one side."""

    log: list[str]
    heard: list[list[str]]
    second: list[list[str]]
    notice: str
    postmaster: list[str]
    """What postmaster was told, without our goodbye: Postfix says QUIT ahead of the last reply."""


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


def _send_again(side: Side, name: str, case: Case) -> None:
    """The second time, the third, and so on."""
    for number in range(1, case.times):
        said = rf"to=<[^>]*@{name}\.test>"
        wanted = number * len(case.recipients)
        eventually(lambda said=said, wanted=wanted: len(side.lines(said)) >= wanted, said)
        _send(side, name, case)


def _play(side: Side, servers: dict[str, Heard]) -> dict[str, Played]:
    rows = ["from.test smtp:[127.0.0.1]:@sink@"]
    for name, case in CASES.items():
        hosts = f"[127.0.0.1]:{servers[name].port}"
        if case.transport.endswith("lmtp"):
            hosts = f"inet:{hosts}"
        if case.second is not None:
            hosts += f", [127.0.0.1]:{servers[name + '-second'].port}"
        rows.append(f"{name}.test {case.transport}:{hosts}")
    (side.folder / "etc" / "tmap").write_text(side.fill("\n".join(rows) + "\n"))
    for name, case in CASES.items():
        _send(side, name, case)
    for name, case in CASES.items():
        _send_again(side, name, case)
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
    notices = [content for content in _contents(side) if f"@{name}.test" in content]
    told = [content for content in _contents(side) if re.search(rf"errors from \S+:(?:{own})\b", content)]
    reports = [part for content in notices for part in content.split("\r\n\r\n") if "Final-Recipient:" in part[:20]]
    # What is not ASCII is of type utf-8 here (docs/differences.md).
    notice = _calm(side, "\n\n".join(sorted(reports)), servers).replace("Recipient: utf-8;", "Recipient: rfc822;")

    def said(key: str) -> list[list[str]]:
        return [[_calm(side, line, servers) for line in session] for session in servers[key].sessions]

    heard = said(name)
    if "exceeds size limit" in notice:  # Postfix closes without a word here (docs/differences.md)
        heard = [[line for line in session if line != "QUIT"] for session in heard]
    if CASES[name].times > 1:  # Postfix asks by RSET whether a kept connection is still there (docs/differences.md)
        heard = [[line for line in session if line not in ("RSET", "QUIT")] for session in heard]
    return Played(
        sorted(lines),
        sorted(heard),
        sorted(said(name + "-second")) if name + "-second" in servers else [],
        notice,
        sorted(_transcript(_calm(side, content, servers)) for content in told),
    )


def _contents(side: Side) -> list[str]:
    return [one.content.decode("latin-1") for one in side.capture.got]


def _transcript(content: str) -> str:
    said = [line for line in content.splitlines() if line[:6] in (" Out: ", " In:  ") and "QUIT" not in line]
    said = [re.sub(r"SIZE=\d+", "SIZE=N", line) for line in said if "Bye" not in line]
    return "\n".join([*re.findall(r"(?m)^Subject: .*|^Unexpected .*", content.replace("\r", "")), *said])


def _scripts() -> dict[str, dict[str, Answer]]:
    scripts = {name: case.script for name, case in CASES.items()}
    return scripts | {f"{name}-second": case.second for name, case in CASES.items() if case.second is not None}


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, tuple[Played, Played]]]:
    """Every case, on both sides: theirs and ours."""
    master = "proxywrite unix - - n - 1 proxymap\n"
    master += "".join(f"{name} unix - - n - - {command}\n" for name, command in TRANSPORTS.items())
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
