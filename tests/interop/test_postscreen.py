"""Our postscreen beside Postfix's: the same clients, the same DNS lists; what they hear, what is logged and kept."""

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posthouse.testkit.certificate import write_certificate
from posthouse.testkit.master_lines import SERVICES
from tests.free_port import free_address, free_port
from tests.interop.conftest import REAL, REAL_DAEMONS
from tests.interop.peers import Real
from tests.interop.screens import BYE, FILES, LISTENERS, READ, SCRIPTS, ZONES, Script, log_of, random_steps, talk
from tests.system.machine import Instance, eventually, run

STRANGERS = 200
"""Clients with random commands."""

NAME_SERVER = free_address()

MAIN_CF = """\
compatibility_level = 3.6
myhostname = mx.test
mydomain = mx.test
mydestination = mx.test
mynetworks = 127.0.0.1/32
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
local_recipient_maps =
alias_maps =
biff = no
smtpd_tls_cert_file = {folder}/etc/cert.pem
smtpd_tls_key_file = {folder}/etc/key.pem
"""
OURS_CF = "dns_servers = {server}\nsmtpd_tls_loglevel = 1\n"
REAL_CF = """\
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
tlsproxy_tls_security_level = may
tlsproxy_tls_loglevel = 1
"""
PASSES = """\
smtpd pass - - n - - smtpd
other pass - - n - - smtpd -o smtpd_banner=other -o disable_vrfy_command=yes
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"""


@dataclass
class Side:
    """One of the two, and what its clients heard."""

    folder: Path
    ports: dict[str, int]
    heard: dict[str, list[str]] = field(default_factory=dict)
    again: dict[str, list[str]] = field(default_factory=dict)

    def log(self) -> str:
        return (self.folder / "mail.log").read_text(errors="replace")


@dataclass
class Both:
    """The two."""

    ours: Side
    real: Side
    began: float


def configure(folder: Path, more: str) -> dict[str, int]:
    for name in ("etc", "spool", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    write_certificate(folder / "etc", "mx.test", "127.0.0.1")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "etc" / "main.cf").write_text(MAIN_CF.format(folder=folder) + more)
    ports = {name: free_port() for name in LISTENERS}
    lines = []
    for name, options in LISTENERS.items():
        lines.append(f"127.0.0.1:{ports[name]} inet n - n - 1 postscreen")
        lines.append(f"    -o postscreen_cache_map=btree:$data_directory/{name}")
        lines += [f"    -o {option.format(folder=folder)}" for option in options]
    (folder / "etc" / "master.cf").write_text("\n".join(lines) + "\n" + PASSES + SERVICES)
    return ports


@contextlib.contextmanager
def name_server(folder: Path) -> Iterator[None]:
    (folder / "zones").write_text(ZONES)
    (folder / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")
    argv = [sys.executable, "-m", "posthouse.testkit.dns_server", "--listen", f"{NAME_SERVER}:53"]
    server = subprocess.Popen([*argv, "--zones", str(folder / "zones")], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert b"listening" in server.stdout.readline()
        yield
    finally:
        server.terminate()
        server.wait(10)


def strangers() -> dict[str, Script]:
    """Clients that say anything; the same ones each time."""
    source = random.Random(20)
    return {
        f"anything {number}": Script("anything", f"127.0.6.{number}", random_steps(source))
        for number in range(1, STRANGERS + 1)
    }


def crowd(side: Side) -> None:
    """Every client, then those who come a second time."""
    with ThreadPoolExecutor(len(SCRIPTS)) as pool:
        told = {name: pool.submit(talk, side.ports[s.listener], s) for name, s in SCRIPTS.items()}
        side.heard = {name: future.result() for name, future in told.items()}
    anything = strangers()
    with ThreadPoolExecutor(len(anything)) as pool:
        told = {name: pool.submit(talk, side.ports[s.listener], s) for name, s in anything.items()}
        side.heard |= {name: future.result() for name, future in told.items()}
    # Three at once of one client, where two may be; then twelve clients where ten are too many.
    many: dict[str, Script] = {}
    for number in range(3):
        many[f"counted {number}"] = Script("counted", "127.0.5.1", (READ, *BYE))
    for number in range(12):
        many[f"busy {number}"] = Script("busy", f"127.0.5.{10 + number}", (READ, *BYE))
    with ThreadPoolExecutor(len(many)) as pool:
        told = {}
        for name, script in many.items():
            told[name] = pool.submit(talk, side.ports[script.listener], script)
            time.sleep(0.05)
        side.heard |= {name: future.result() for name, future in told.items()}
    for name in ("a good client", "deep tests", "deep tests unfinished", "spared by its score", "all ignored"):
        script = SCRIPTS[name]
        side.again[name] = talk(side.ports[script.listener], Script(script.listener, script.address, (READ, *BYE)))


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    if os.geteuid() != 0:
        pytest.skip("needs root: the real Postfix does not run without")
    if not REAL.exists() or not REAL_DAEMONS.exists():
        pytest.skip("needs postfix (Debian: apt-get install postfix)")
    if run(["unshare", "-m", "true"]).status != 0:
        pytest.skip("needs mount namespaces: Postfix asks the name servers of /etc/resolv.conf alone")
    with contextlib.ExitStack() as stack:
        folders = []
        for prefix in ("posthouse-screens-", "postfix-screens-", "screens-dns-"):
            folder = Path(tempfile.mkdtemp(prefix=prefix))
            stack.callback(shutil.rmtree, folder)
            folder.chmod(0o755)
            folders.append(folder)
        ours = Side(folders[0], configure(folders[0], OURS_CF.format(server=NAME_SERVER)))
        real = Side(folders[1], configure(folders[1], REAL_CF))
        stack.enter_context(name_server(folders[2]))
        resolv = folders[2] / "resolv.conf"
        postfix = Real(real.folder, 0)
        start = f"mount --bind {resolv} /etc/resolv.conf && exec /usr/sbin/postfix start"
        ran = run(["unshare", "-m", "sh", "-c", start], environment={"MAIL_CONFIG": str(real.folder / "etc")})
        stack.callback(postfix.run, "postfix", "stop")
        assert ran.status == 0, ran
        instance = Instance(ours.folder / "etc", ours.folder / "mail.log", ours.folder / "spool")
        stack.callback(instance.kill)
        instance.start()
        began = time.time()
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(crowd, side) for side in (ours, real)]:
                done.result()
        eventually(lambda: len(log_of(real.log(), "127.0.3.8")) == len(log_of(ours.log(), "127.0.3.8")))
        instance.stop()
        postfix.run("postfix", "stop")  # which lets its caches go
        yield Both(ours, real, began)


def kept_by_postfix(side: Side, listener: str) -> dict[str, str]:
    argv = ["/usr/sbin/postmap", "-c", str(side.folder / "etc"), "-s", f"btree:{side.folder}/data/{listener}"]
    rows = [line.split("\t") for line in run(argv).out.splitlines()]
    return {row[0]: row[1] for row in rows}


def kept_by_us(side: Side, listener: str) -> dict[str, str]:
    path = side.folder / "data" / f"{listener}.posthouse"
    return dict(line.split("\t") for line in path.read_text().splitlines()) if path.exists() else {}


def compared(line: str | None, since: float) -> list[object] | None:
    """The moments of a line of the cache, in steps of 20 seconds: the two were not asked in the same second."""
    if line is None:
        return None
    return [moment if moment < 2 else round((moment - since) / 20) for moment in map(int, line.split(";"))]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_client_hears_the_same(name: str, both: Both) -> None:
    assert both.real.heard[name] == both.ours.heard[name]


@pytest.mark.parametrize("name", [name for name, script in SCRIPTS.items() if script.address != "127.0.0.1"])
def test_the_log_says_the_same(name: str, both: Both) -> None:
    address = "127.0.4.1" if name == "behind a proxy" else SCRIPTS[name].address
    for programs in (("postscreen",), ("tlsproxy",), ("smtpd",)):
        assert log_of(both.real.log(), address, programs) == log_of(both.ours.log(), address, programs)


def test_the_lists_answers_are_in_the_log(both: Both) -> None:
    for address in ("127.0.2.9", "127.0.2.10", "127.0.2.11", "127.0.2.12"):
        expected = sorted(log_of(both.real.log(), address, ("dnsblog",)))
        assert expected and expected == sorted(log_of(both.ours.log(), address, ("dnsblog",)))


def test_the_cache_keeps_the_same(both: Both) -> None:
    for listener in LISTENERS:
        real, ours = kept_by_postfix(both.real, listener), kept_by_us(both.ours, listener)
        for script in SCRIPTS.values():
            if script.listener == listener:
                wanted, kept = (compared(found.get(script.address), both.began) for found in (real, ours))
                if listener == "broken-lists" and wanted and kept:
                    # A list that fails shortens the pass in Postfix only when it fails before the other has answered.
                    wanted[1] = kept[1] = 0
                assert wanted == kept, script


def test_who_passed_is_known_the_next_time(both: Both) -> None:
    assert both.real.again == both.ours.again


def test_one_client_may_not_have_too_many_connections(both: Both) -> None:
    for number in range(3):
        assert both.real.heard[f"counted {number}"] == both.ours.heard[f"counted {number}"]
    assert "421 4.7.0 Error: too many connections" in both.ours.heard["counted 2"]
    assert log_of(both.real.log(), "127.0.5.1") == log_of(both.ours.log(), "127.0.5.1")


def test_too_many_clients_are_turned_away_and_stress_is_told(both: Both) -> None:
    for number in range(12):
        assert both.real.heard[f"busy {number}"] == both.ours.heard[f"busy {number}"]
        address = f"127.0.5.{10 + number}"
        assert log_of(both.real.log(), address) == log_of(both.ours.log(), address)
    assert both.ours.heard["busy 11"][0] == "421 4.3.2 All screening ports are busy"
    told = re.compile(r"(entering|leaving) STRESS mode with \d+ connections")
    assert [m[0] for m in told.finditer(both.real.log())] == [m[0] for m in told.finditer(both.ours.log())]


def test_warnings_and_the_cleaning_of_caches_are_told_the_same(both: Both) -> None:
    shown = re.compile(r"postscreen\[\d+\]: ((?:warning: |cache ).*)")
    expected = {m[1].replace(str(both.real.folder), "FOLDER") for m in shown.finditer(both.real.log())}
    assert expected == {m[1].replace(str(both.ours.folder), "FOLDER") for m in shown.finditer(both.ours.log())}


def test_whatever_a_client_says_the_answers_and_the_log_are_the_same(both: Both) -> None:
    differ = []
    for name, script in strangers().items():
        said = b"".join([step for step in script.steps if isinstance(step, bytes)])
        if both.real.heard[name] != both.ours.heard[name]:
            differ.append((name, said, both.real.heard[name], both.ours.heard[name]))
        real, ours = log_of(both.real.log(), script.address), log_of(both.ours.log(), script.address)
        if real != ours:
            differ.append((name, said, real, ours))
    assert differ == []
