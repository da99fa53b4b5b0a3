"""Debian's opendkim as a milter: it signs what we take in, and finds its signature whole when the mail comes back."""

import asyncio
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.envelope import Client, Envelope, Recipient
from posthouse.envelope.handling import Handling
from posthouse.host.clock import SystemClock
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.intake.cleanup import CleanupIntake
from posthouse.intake.transaction import Accepted
from posthouse.policy.milter.milters import open_milters
from posthouse.queue.local import LocalQueueStore, QueueSettings
from posthouse.routing.router import Router
from posthouse.wire.milter.command import Peer
from tests.free_port import free_port
from tests.interop.peers import peer

PATIENCE = 60.0
"""Seconds for opendkim to listen."""
LETTER = b"Subject: signed\r\nFrom: joe@example.com\r\nTo: ann@example.net\r\n\r\n"
Start = Callable[[str], int]


@pytest.fixture
def opendkim(tmp_path: Path) -> Iterator[Start]:
    """Starts one in mode "s" or "v", with a key of example.com's; gives its port."""
    program, generator = peer("opendkim"), peer("opendkim-genkey", package="opendkim-tools")
    subprocess.run([generator, "-b", "2048", "-d", "example.com", "-s", "key", "-D", str(tmp_path)], check=True)
    record = "".join(re.findall(r'"([^"]*)"', (tmp_path / "key.txt").read_text()))
    (tmp_path / "dns").write_text(f"key._domainkey.example.com {record}\n")
    running: list[subprocess.Popen[bytes]] = []

    def start(mode: str) -> int:
        port = free_port()
        (tmp_path / f"{mode}.conf").write_text(
            f"Mode {mode}\nSocket inet:{port}@127.0.0.1\nDomain example.com\nSelector key\nBackground no\nSyslog no\n"
            f"KeyFile {tmp_path}/key.private\nTestDNSData {tmp_path}/dns\nAuthservID mail.test\nUserID root\n"
            "RequireSafeKeys no\nCanonicalization relaxed/simple\n"
            + ("InternalHosts 192.0.2.0/24\n" if mode == "v" else "")
        )
        running.append(subprocess.Popen([program, "-f", "-x", str(tmp_path / f"{mode}.conf")]))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            time.sleep(0.05)
        raise AssertionError("opendkim does not listen")

    yield start
    for process in running:
        process.terminate()
        process.wait(PATIENCE)


async def through(port: int, content: bytes, folder: Path) -> bytes:
    """The message as it is queued behind one milter."""
    configuration = Configuration(
        str(folder), {"myhostname": "mail.test", "mydestination": "", "queue_directory": str(folder)}
    )
    log = ProcessLog(MemorySink(), "postfix/cleanup")
    store = LocalQueueStore(
        str(folder / "queue"), read_settings(QueueSettings, configuration), log, SystemClock(), None
    )
    await store.start()
    try:
        intake = CleanupIntake.open(configuration, Router.open(configuration, log), store, log)
        milters = open_milters(configuration, f"inet:127.0.0.1:{port}", "smtpd_milters")
        assert milters is not None
        transaction = intake.begin()

        async def value(name: str) -> str | None:
            return {"i": transaction.queue_id, "j": "mail.test"}.get(name)

        chain = milters.begin(value, log.warning)
        assert await chain.connect(Peer(b"localhost", b"4", 4000, b"127.0.0.1")) is None
        assert await chain.helo("localhost") is None
        assert await chain.mail(("<joe@example.com>",)) is None
        assert await chain.rcpt(("<ann@example.net>",)) is None
        assert await chain.data() is None
        for at in range(0, len(content), 65536):
            await transaction.write(content[at : at + 65536])
        given = Envelope("joe@example.com", (Recipient("ann@example.net"),), Client(protocol="ESMTP"))
        answer = await transaction.commit(given, b"Received: here\r\n", Handling(), milters=chain)
        chain.quit()
        assert isinstance(answer, Accepted)
        queued = await store.load_content(answer.queue_id)
        assert queued is not None
        return queued.header + b"\r\n" + await queued.body.read()
    finally:
        await store.close()


@pytest.mark.parametrize("body", [b"hello\r\n", b"a line of a large body, to be read from its file\r\n" * 20_000])
def test_what_opendkim_signs_it_finds_whole_again(body: bytes, opendkim: Start, tmp_path: Path) -> None:
    signer, verifier = opendkim("s"), opendkim("v")
    signed = asyncio.run(through(signer, LETTER + body, tmp_path / "one"))
    assert signed.startswith((b"Received: here\r\nDKIM-Signature: ", b"DKIM-Signature: "))
    assert signed.endswith(b"\r\n\r\n" + body)
    verified = asyncio.run(through(verifier, signed, tmp_path / "two"))
    assert b"dkim=pass" in verified.partition(b"\r\n\r\n")[0]
    spoilt = signed.replace(b"Subject: signed", b"Subject: spoilt")
    assert b"dkim=pass" not in asyncio.run(through(verifier, spoilt, tmp_path / "three")).partition(b"\r\n\r\n")[0]
