"""DANE: the same zone and the same server, before Postfix's posttls-finger and before our SMTP client.

A name server of the test's own, whose answers carry the AD bit, listens on port 53 of a loopback address. Postfix asks
the system's resolver, so it runs in a mount namespace with a resolv.conf of its own; it is the oracle for the word that
the TLS line begins with. openssl's client is one for the records themselves.
"""

import asyncio
import datetime
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from posthouse.testkit.dns_server import DnsServer
from posthouse.testkit.master_lines import SERVICES
from tests.free_port import free_address, free_port
from tests.interop.peers import peer
from tests.system.machine import Instance, eventually, run

NAMES_AT = free_address()
DAY = datetime.timedelta(days=1)

MAIN_CF = """\
compatibility_level = 3.6
myhostname = dane.test
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
mydestination =
virtual_mailbox_domains = {domains}
virtual_mailbox_maps = static:all
virtual_transport = discard:
transport_maps = inline:{{ {transports} }}
inet_protocols = ipv4
dns_servers = {names}
smtp_dns_support_level = dnssec
smtp_tls_security_level = {level}
smtp_tls_loglevel = 2
smtp_tls_session_cache_database = btree:${{data_directory}}/smtp_scache
smtp_connection_cache_on_demand = no
smtpd_peername_lookup = no
smtpd_tls_chain_files = {folder}/etc/chain.pem
smtpd_tls_security_level = may
bounce_queue_lifetime = 0
"""


@dataclass(frozen=True)
class Authority:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def data(self, selector: int) -> bytes:
        """What a record is made from."""
        if selector:
            return self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self.certificate.public_bytes(Encoding.DER)

    def record(self, usage: int, selector: int, matching: int) -> str:
        """In presentation form."""
        data = self.data(selector)
        shown = data if matching == 0 else hashlib.new({1: "sha256", 2: "sha512"}[matching], data).digest()
        return f"{usage} {selector} {matching} {shown.hex()}"


def make(name: str, issuer: Authority | None, names: list[str]) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(issuer.certificate.subject if issuer else subject)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - DAY)
    builder = builder.not_valid_after(now + 30 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    return Authority(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


CASES = (
    "ee",
    "eebad",
    "root",
    "middle",
    "middle512",
    "whole",
    "key",
    "tabad",
    "leafasta",
    "name",
    "agile",
    "mixed",
    "cname",
)
CASES += ("unsupported", "length", "none")
WRONG_NAMES = ("name", "mixed", "cname")
"""Cases whose host is not in the server's certificate."""

ROOT = make("Root", None, [])
MIDDLE = make("Middle", ROOT, [])
LEAF = make("leaf", MIDDLE, ["target.cname.test", *(f"mx.{case}.test" for case in CASES if case not in WRONG_NAMES)])

RECORDS: dict[str, list[str]] = {
    "ee": [LEAF.record(3, 1, 1)],
    "eebad": ["3 1 1 " + "00" * 32],
    "root": [ROOT.record(2, 0, 1)],
    "middle": [MIDDLE.record(2, 1, 1)],
    "middle512": [MIDDLE.record(2, 0, 2)],
    "whole": [ROOT.record(2, 0, 0)],
    "key": [ROOT.record(2, 1, 0)],
    "tabad": ["2 0 1 " + "00" * 32],
    "leafasta": [LEAF.record(2, 0, 1)],
    "name": [ROOT.record(2, 0, 1)],
    "agile": [ROOT.record(2, 0, 1), "2 0 2 " + "00" * 64],
    "cname": [ROOT.record(2, 0, 1)],
    "mixed": [ROOT.record(2, 0, 1), LEAF.record(3, 0, 1)],
    "unsupported": [ROOT.record(1, 0, 1)],
    "length": ["3 1 1 0011"],
    "none": [],
}


@dataclass(frozen=True)
class Place:
    """The server, the client, and where names are."""

    running: Instance
    folder: Path
    port: int

    def postfix_says(self, case: str, level: str) -> str:
        """posttls-finger's line."""
        command = f"mount --bind {self.folder}/resolv.conf /etc/resolv.conf && exec timeout 20 {peer('posttls-finger')}"
        argv = ["unshare", "-m", "sh", "-c", f"{command} -L summary -l {level} -f {case}.test:{self.port}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        found = re.search(r"\w+ TLS connection established.*", done.stdout + done.stderr)
        assert found, done
        return found[0].strip()

    def openssl_says(self, case: str) -> bool:
        """Whether openssl finds the records good for the server."""
        argv = [peer("openssl"), "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{self.port}"]
        argv += [
            "-dane_tlsa_domain",
            "target.cname.test" if case == "cname" else f"mx.{case}.test",
            "-quiet",
            "-verify_return_error",
            "-dane_ee_no_namechecks",
        ]
        argv += [word for record in RECORDS[case] for word in ("-dane_tlsa_rrdata", record)]
        done = subprocess.run(argv, input=b"QUIT\r\n", capture_output=True, timeout=60, check=False)
        return b"verify error" not in done.stderr and done.returncode == 0

    def we_say(self, case: str) -> tuple[str, str]:
        """Our client's line, and the status line."""
        start = len(self.running.text())
        self.running.do("sendmail", "-f", "", f"b@{case}.test", stdin="Subject: x\n\nx\n")
        line = rf"smtp\[\d+\]: \w+: to=<b@{case}\.test>.* status=.*"
        status = eventually(lambda: re.search(line, self.running.text()[start:]), case)
        found = re.search(rf"\w+ TLS connection established to mx\.{case}\.test.*", self.running.text()[start:])
        return found[0].strip() if found else "", status[0].partition("status=")[2]


@pytest.fixture(scope="module", params=["dane", "dane-only"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Place, str]]:
    if os.geteuid() != 0:
        pytest.skip("needs root: port 53 and a mount namespace")
    folder = Path(tempfile.mkdtemp(prefix="posthouse-dane-"))
    folder.chmod(0o755)
    zones = "".join(
        f"{case}.test SECURE\nmx.{case}.test A 127.0.0.1\n"
        + (
            "cname.test CNAME target.cname.test\ntarget.cname.test MX 10 mx.cname.test\n"
            if case == "cname"
            else f"{case}.test MX 10 mx.{case}.test\n"
        )
        + "".join(f"_PORT._tcp.mx.{case}.test TLSA {record}\n" for record in RECORDS[case])
        for case in CASES
    )
    port = free_port()
    for name in ("etc", "spool"):
        (folder / name).mkdir()
    private = LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(made.certificate.public_bytes(Encoding.PEM) for made in (LEAF, MIDDLE, ROOT))
    (folder / "etc" / "chain.pem").write_bytes(private + chain)
    (folder / "resolv.conf").write_text(f"nameserver {NAMES_AT}\noptions trust-ad edns0\n")
    (folder / "etc" / "main.cf").write_text(
        MAIN_CF.format(
            folder=folder,
            level=request.param,
            names=NAMES_AT,
            domains=" ".join(f"{case}.test" for case in CASES),
            transports=", ".join(f"{case}.test=smtp:{case}.test:{port}" for case in CASES),
        )
    )
    (folder / "etc" / "master.cf").write_text(
        f"127.0.0.1:{port} inet n - n - - smtpd -o content_filter=discard:x\n{SERVICES}discard unix - - n - - discard\n"
    )
    made = Instance(folder / "etc", folder / "mail.log", folder / "spool")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    names = asyncio.run_coroutine_threadsafe(
        DnsServer.start(zones.replace("_PORT", f"_{port}"), NAMES_AT, 53), loop
    ).result(10)
    try:
        made.start()
        yield Place(made, folder, port), request.param
        made.stop()
    finally:
        made.kill()
        asyncio.run_coroutine_threadsafe(names.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("case", [c for c in CASES if c not in ("unsupported", "length", "none")])
def test_a_server_is_verified_where_postfix_verifies_it(place: tuple[Place, str], case: str) -> None:
    where, level = place
    line, status = where.we_say(case)
    assert line == where.postfix_says(case, level)
    verified = line.startswith("Verified ")
    assert where.openssl_says(case) == verified
    if verified:
        assert status.startswith("sent (250 2.0.0 Ok: queued as")
    else:
        assert status == "deferred (Server certificate not verified)"


@pytest.mark.parametrize(
    ("case", "opportunistic", "only"),
    [
        # As Postfix 3.7.11's own smtp(8) logged it, with the same records.
        ("unsupported", ("Untrusted", "sent"), ("", "deferred (TLSA records unusable)")),
        ("length", ("Untrusted", "sent"), ("Untrusted", "deferred (Server certificate not verified)")),
        ("none", ("Untrusted", "sent"), ("", "deferred (no TLSA records found)")),
    ],
)
def test_what_is_no_use(
    place: tuple[Place, str], case: str, opportunistic: tuple[str, str], only: tuple[str, str]
) -> None:
    where, level = place
    line, status = where.we_say(case)
    expected = opportunistic if level == "dane" else only
    assert (line.partition(" ")[0], status[: len(expected[1])]) == expected
    if level == "dane":
        assert where.postfix_says(case, level) == line


@pytest.mark.parametrize("case", ["ee", "root"])
def test_a_session_that_was_verified_goes_on_so(place: tuple[Place, str], case: str) -> None:
    where, _ = place
    where.we_say(case)
    start = len(where.running.text())
    line, status = where.we_say(case)
    assert (line.partition(" ")[0], status[:4]) == ("Verified", "sent")
    assert f"mx.{case}.test[127.0.0.1]:{where.port}: Reusing old session" in where.running.text()[start:]


def test_nothing_else_was_said(place: tuple[Place, str]) -> None:
    where, _ = place
    assert "Traceback" not in where.running.text()
    assert run(["postfix", "-c", str(where.running.configuration), "check"]).status == 0
