"""TLS sessions go on: openssl's client with our listeners, over workers and a reload; our client with Postfix."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.testkit.certificate import write_certificate
from posthouse.testkit.master_lines import SERVICES
from tests.free_port import free_port
from tests.interop.peers import Ours, Real, peer
from tests.system.machine import Instance, descendants, eventually

MAIN_CF = """\
compatibility_level = 3.6
myhostname = tickets.test
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
mydestination =
inet_protocols = ipv4
posthouse_workers = 2
smtpd_peername_lookup = no
smtpd_tls_cert_file = {folder}/etc/cert.pem
smtpd_tls_key_file = {folder}/etc/key.pem
smtpd_tls_security_level = may
smtpd_tls_loglevel = 2
"""


@pytest.fixture
def two_workers() -> Iterator[tuple[Instance, int]]:
    folder = Path(tempfile.mkdtemp(prefix="posthouse-tickets-"))
    folder.chmod(0o755)
    port = free_port()
    for name in ("etc", "spool"):
        (folder / name).mkdir()
    write_certificate(folder / "etc", "localhost", "127.0.0.1")
    (folder / "etc" / "main.cf").write_text(MAIN_CF.format(folder=folder))
    (folder / "etc" / "master.cf").write_text(f"127.0.0.1:{port} inet n - n - - smtpd\n{SERVICES}")
    made = Instance(folder / "etc", folder / "mail.log", folder / "spool")
    try:
        made.start()
        yield made, port
        made.stop()
    finally:
        made.kill()
        shutil.rmtree(folder)


def visit(port: int, session: Path, version: str) -> bool:
    """One connection of openssl's client, with the session of the last; whether it went on."""
    argv = [peer("openssl"), "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{port}", f"-{version}"]
    argv += ["-sess_out", str(session), *(["-sess_in", str(session)] if session.exists() else [])]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"EHLO client.test\r\n")
    process.stdin.flush()
    said = b""
    while said.count(b"CHUNKING") < 2 and (chunk := os.read(process.stdout.fileno(), 65536)):
        said += chunk  # the tickets of TLS 1.3 come with what follows the handshake
    process.stdin.write(b"QUIT\r\n")
    process.stdin.close()
    said += process.stdout.read()
    process.stdout.close()
    process.wait(30)
    found = re.search(rb"^(New|Reused), TLSv1\.[23]", said, re.MULTILINE)
    assert found, said
    return found[1] == b"Reused"


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_a_session_goes_on_at_either_worker_and_after_a_reload(
    two_workers: tuple[Instance, int], version: str, tmp_path: Path
) -> None:
    running, port = two_workers
    session = tmp_path / "session"
    assert [visit(port, session, version) for _ in range(8)] == [False] + [True] * 7
    before = set(descendants(running.master() or 0))
    assert running.postfix("reload").status == 0
    assert set(descendants(running.master() or 0)) != before
    assert [visit(port, session, version) for _ in range(4)] == [True] * 4
    reused = "unknown[127.0.0.1]: Reusing old session (RFC 5077 session ticket)"
    eventually(lambda: running.text().count(reused) == 11, "eleven lines of the log")
    text = running.text()
    # Both of them took part: sessions of one process have numbers of their own.
    assert len({number[:-5] for number in re.findall(r"smtpd\[(\d+)\]: setting up TLS", text)}) >= 2


def test_no_tickets_when_the_timeout_is_nought(two_workers: tuple[Instance, int], tmp_path: Path) -> None:
    running, port = two_workers
    running.do("postconf", "-e", "smtpd_tls_session_cache_timeout = 0", "posthouse_workers = 1")
    assert running.postfix("reload").status == 0
    session = tmp_path / "session"
    assert [visit(port, session, "tls1_3") for _ in range(3)] == [False] * 3


def test_posttls_finger_comes_again(two_workers: tuple[Instance, int]) -> None:
    running, port = two_workers
    argv = [peer("posttls-finger"), "-r", "1", "-L", "summary,cache", "-l", "may", f"[127.0.0.1]:{port}"]
    environment = {"MAIL_CONFIG": str(running.configuration), "PATH": "/usr/sbin:/usr/bin"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert "Reusing old session" in done.stdout + done.stderr, done


def test_our_client_goes_on_with_a_session_of_postfix(ours: Ours, real: Real) -> None:
    try:
        ours.instance.do(
            "postconf", "-e", "smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache",
            "smtp_tls_loglevel = 2", "smtp_connection_cache_on_demand = no",
        )  # fmt: skip
        assert ours.instance.postfix("reload").status == 0
        start = len(ours.instance.text())
        for number in range(2):
            ours.instance.do("sendmail", "-f", "ann@virt.test", "ann@real.test", stdin=f"Subject: s{number}\n\nx\n")
            eventually(lambda number=number: ours.instance.text()[start:].count("to=<ann@real.test>") > number)
    finally:
        ours.instance.do("postconf", "-X", "smtp_tls_session_cache_database", "smtp_connection_cache_on_demand")
        ours.instance.do("postconf", "-e", "smtp_tls_loglevel = 1")
        assert ours.instance.postfix("reload").status == 0
    text = ours.instance.text()[start:]
    where = f"127.0.0.1[127.0.0.1]:{real.port}"
    steps = re.findall(r"smtp\[\d+\]: (looking for|save|reloaded|\S+: Reusing) ", text)
    assert steps == ["looking for", "save", "looking for", "reloaded", f"{where}: Reusing"], text
    assert re.search(
        rf"save session smtp&\[127\.0\.0\.1\]:{real.port}&127\.0\.0\.1&127\.0\.0\.1&&[0-9A-F]{{64}} to", text
    )
    assert text.count(f"TLS connection established to {where}: TLSv1.3") == 2
    assert "status=sent" in text
