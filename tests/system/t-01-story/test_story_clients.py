"""mutt and fetchmail fetch what travelled through the story's hosts: by IMAP and POP3, over TLS and without."""

import mailbox
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.testkit.site import SERVER
from tests.interop.peers import peer
from tests.system.hosts import PASSWORDS, Story
from tests.system.machine import SYSTEM_PATH, eventually, run
from tests.system.terminal import Terminal

LOGIN = "joe@virt.tony.test"


@pytest.fixture(scope="module")
def open_house(house: Story) -> Iterator[Story]:
    """The story with a letter for joe, and passwords taken in plain text as well."""
    house.server.do("postconf", "-e", "imapd_tls_auth_only = no", "pop3d_tls_auth_only = no")
    _, *before = house.server.processes()
    assert house.server.postfix("reload").status == 0
    eventually(lambda: not set(before) & set(house.server.processes()), "the old workers' end")
    start = len(house.server.text())
    house.desktop.do("mail", "-s", "for the clients", LOGIN, stdin="Fetched.\n.\n")
    house.server.logged(rf"to=<{re.escape(LOGIN)}>.*status=sent", after=start)
    yield house
    house.server.do("postconf", "-X", "imapd_tls_auth_only", "pop3d_tls_auth_only")
    _, *before = house.server.processes()
    assert house.server.postfix("reload").status == 0
    eventually(lambda: not set(before) & set(house.server.processes()), "the old workers' end")


@pytest.mark.parametrize("scheme", ["imap", "imaps", "pop", "pops"])
def test_mutt_opens_the_mailbox_and_saves_a_letter(open_house: Story, tmp_path: Path, scheme: str) -> None:
    program = peer("mutt")
    saved = tmp_path / "saved"
    user = LOGIN.replace("@", "%40")
    configuration = [f'set {kind}_user="{LOGIN}" {kind}_pass="{PASSWORDS[LOGIN]}"' for kind in ("imap", "pop")]
    configuration += [
        f'set ssl_ca_certificates_file="{open_house.site.server.configuration}/cert.pem" ssl_verify_host=no',
        'set ssl_starttls=no ssl_force_tls=no header_cache="" confirmappend=no confirmcreate=no delete=no',
        f'set folder="{tmp_path}" mbox_type=mbox record="" postponed="" pop_delete=no quit=yes move=no wait_key=no',
    ]
    (tmp_path / "muttrc").write_text("\n".join(configuration) + "\n")
    argv = [program, "-n", "-F", str(tmp_path / "muttrc"), "-f", f"{scheme}://{user}@{SERVER}/"]
    environment = {"PATH": SYSTEM_PATH, "HOME": str(tmp_path), "TERM": "vt100"}
    with Terminal(argv, environment) as terminal:
        terminal.shows("for the clients")
        terminal.types("*C")  # the last entry, copy-message
        terminal.shows("to mailbox")
        terminal.types(f"\x15{saved}\r")  # ^U: kill-line
        eventually(lambda: saved.exists() and b"Fetched." in saved.read_bytes(), f"the copy: {terminal.said!r}")
        terminal.types("x")
        assert terminal.status() == 0
    assert [message["Subject"] for message in mailbox.mbox(saved, create=False)] == ["for the clients"]


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
@pytest.mark.parametrize("tls", ["without TLS", "STARTTLS", "TLS"])
def test_fetchmail_fetches_the_letter(open_house: Story, tmp_path: Path, protocol: str, tls: str) -> None:
    program = peer("fetchmail")
    port = {("imap", "TLS"): 993, ("pop3", "TLS"): 995}.get((protocol, tls), 143 if protocol == "imap" else 110)
    trust = f"sslcertfile {open_house.site.server.configuration}/cert.pem sslcommonname mail.tony.test"
    wanted = {"without TLS": "sslproto ''", "STARTTLS": f"sslproto tls1.2+ {trust}", "TLS": f"ssl {trust}"}[tls]
    letters = tmp_path / "letters"
    (tmp_path / "fetchmailrc").touch(0o600)
    (tmp_path / "fetchmailrc").write_text(
        f"poll {SERVER} service {port} protocol {protocol}\n"
        f'  user "{LOGIN}" password "{PASSWORDS[LOGIN]}" {wanted} keep fetchall mda "cat >> {letters}"\n'
    )
    argv = [program, "-f", str(tmp_path / "fetchmailrc"), "--nosyslog", "--nodetach", "-v"]
    ran = run(argv, environment={"FETCHMAILHOME": str(tmp_path), "PATH": SYSTEM_PATH}, within=40)
    assert ran.status == 0, ran
    assert "Subject: for the clients\n" in letters.read_text(), ran
    if tls != "without TLS":
        assert "SSL/TLS: using protocol TLSv1" in ran.out + ran.err
