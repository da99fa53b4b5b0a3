"""The main job: a letter travels the whole way, from desktop12 over smtp12 to mail.tony.test, and back when it must.

Three instances on the real ports of three loopback addresses; the test kit's name server; users of the system. The
tests run in order on one set of hosts, and each leaves them as it found them.
"""

import imaplib
import os
import poplib
import re
import shutil
import signal
import smtplib
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mailbox import mboxMessage as Message
from pathlib import Path

import pytest

from posthouse.testkit.site import DESKTOP, RELAY, SERVER
from tests.system.hosts import PASSWORDS, Story, with_subject
from tests.system.machine import COMMANDS, SYSTEM_PATH, Instance, alive, eventually, run, tcp_ports, uids
from tests.system.terminal import Terminal

OUTSIDE = "127.0.0.77"
"""A client's address in nobody's mynetworks."""

TERMINAL = {"PATH": f"{COMMANDS}:{SYSTEM_PATH}", "HOME": "/", "TERM": "dumb", "TZ": "UTC"}

LONG_ID = r"[0-9A-F]{10,12}"


def queue(instance: Instance) -> str:
    """What mailq prints."""
    return instance.do("mailq")


def empty(instance: Instance) -> bool:
    """Whether nothing is queued."""
    return "Mail queue is empty" in queue(instance)


def smtp(address: str, source: str = "", port: int = 25) -> smtplib.SMTP:
    """An SMTP client that comes from a chosen address."""
    client = smtplib.SMTP(local_hostname="client.test", timeout=60, source_address=(source, 0) if source else None)
    client.connect(address, port)
    client.ehlo()
    return client


def body(message: Message) -> str:
    """The text of a message of one part."""
    payload = message.get_payload()
    assert isinstance(payload, str)
    return payload


# --- Nobody but the master is root, and every listener listens where master.cf says


def test_no_process_that_faces_the_network_is_root(house: Story) -> None:
    facing = []
    for instance in house.hosts:
        master = instance.master()
        assert master is not None
        for pid in instance.processes():
            if pid != master and tcp_ports(pid):
                facing.append((pid, uids(pid)))
    workers = [pid for pid, owners in facing if 0 not in owners]
    # The keeper is root and inherits no listener; it holds no TCP socket of its own.
    assert [pid for pid, owners in facing if 0 in owners] == []
    assert len(workers) >= 3


def test_every_host_greets_under_its_own_name(house: Story) -> None:
    for address, name in (
        (DESKTOP, "desktop12.example.com"),
        (RELAY, "smtp12.example.com"),
        (SERVER, "mail.tony.test"),
    ):
        with socket.create_connection((address, 25), timeout=60) as connection:
            assert connection.recv(200).startswith(f"220 {name} ESMTP".encode())


def test_a_second_start_is_refused(house: Story) -> None:
    before = house.relay.master()
    ran = house.relay.postfix("start")
    assert (ran.status, "already running" in ran.err) == (1, True)
    assert house.relay.master() == before
    assert house.relay.postfix("status").status == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that mail_owner can reach: pytest's own are root's alone."""
    made = Path(tempfile.mkdtemp(prefix="posthouse-story-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def test_a_second_system_on_the_same_address_is_refused(house: Story, open_folder: Path) -> None:
    # Both would be given some of the connections, and neither would know.
    shutil.copytree(house.relay.configuration, open_folder / "etc")
    other = Instance(open_folder / "etc", open_folder / "mail.log", open_folder / "spool")
    other.queue_directory.mkdir()
    for name, value in (("queue_directory", "spool"), ("data_directory", "data"), ("maillog_file", "mail.log")):
        other.do("postconf", "-e", f"{name} = {open_folder}/{value}", f"maillog_file_prefixes = {open_folder}")
    ran = other.postfix("start")
    assert ran.status == 1
    assert "bind 127.0.0.3 port 25: Address already in use" in ran.err
    assert other.master() is None


# --- Submission on desktop12


def test_mail_s_by_root_reaches_the_mbox(house: Story) -> None:
    house.desktop.do("mail", "-s", "from desktop", "tony@tony.test", stdin="haha\n")
    message = house.in_mbox("tony", "from desktop")
    assert body(message) == "haha\n"
    assert message["From"] == "root <root@desktop12.example.com>"
    assert message["Delivered-To"] == "tony@tony.test"
    # Each host on the way added its Received line: submission, relay, server.
    by = [re.search(r"by (\S+)", line) for line in message.get_all("Received", [])]
    assert [found[1] for found in by if found] == ["mail.tony.test", "smtp12.example.com", "desktop12.example.com"]


def test_mail_s_by_an_ordinary_user_reaches_the_mbox(house: Story) -> None:
    house.desktop.do("mail", "-s", "from alice", "tony@tony.test", stdin="hello\n", user="alice")
    message = house.in_mbox("tony", "from alice")
    assert message.get_from().split()[0] == "alice@desktop12.example.com"
    assert message["From"].endswith("<alice@desktop12.example.com>")


def test_sendmail_t_takes_the_recipients_from_the_header(house: Story) -> None:
    text = "To: Tony <tony@tony.test>\nCc: joe@virt.tony.test\nBcc: alice@tony.test\nSubject: by sendmail -t\n\nx\n"
    house.desktop.do("sendmail", "-t", stdin=text, user="tony")
    message = house.in_mbox("tony", "by sendmail -t")
    assert message["Bcc"] is None
    assert message["Message-Id"].endswith("@desktop12.example.com>")
    house.in_maildir("alice", "by sendmail -t")


def test_mail_at_a_terminal_ends_with_a_dot(house: Story) -> None:
    argv = [str(COMMANDS / "mail"), "tony@tony.test"]
    with Terminal(argv, {**TERMINAL, "MAIL_CONFIG": str(house.desktop.configuration)}) as terminal:
        terminal.shows("Subject:")
        terminal.types("typed by hand\nfirst line\nsecond line\n.\n")
        assert terminal.status() == 0
    assert body(house.in_mbox("tony", "typed by hand")) == "first line\nsecond line\n"


def test_a_message_handed_over_while_the_system_is_down_waits_in_the_maildrop(house: Story) -> None:
    house.desktop.stop()
    try:
        house.desktop.do("mail", "-s", "from cron", "tony@tony.test", stdin="at boot\n", user="alice")
        folder = house.desktop.queue_directory / "posthouse" / "maildrop"
        assert len(list(folder.iterdir())) == 1
        # Nobody reads another's mail, or lists what is there.
        assert run(["ls", str(folder)], user="tony").status != 0
        assert "alice" in queue(house.desktop)
    finally:
        house.desktop.start()
    house.in_mbox("tony", "from cron")


# --- smtp12: MX, A without MX, and who may relay


def test_the_next_mx_is_tried_when_the_first_refuses_connections(house: Story) -> None:
    start = len(house.relay.text())
    house.desktop.do("mail", "-s", "second mx", "tony@tony.test", stdin="x\n")
    house.relay.logged(r"smtp\[\d+\]: connect to down\.tony\.test\[127\.0\.0\.99\]:25: Connection refused", after=start)
    house.relay.logged(
        r"smtp\[\d+\]: [0-9A-F]+: to=<tony@tony\.test>, relay=mail\.tony\.test\[127\.0\.0\.4\]:25, delay=[\d.]+,"
        r" delays=[\d./]+, dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as [0-9A-F]+\)",
        after=start,
    )
    house.in_mbox("tony", "second mx")


def test_a_domain_without_mx_goes_to_its_address(house: Story) -> None:
    start = len(house.relay.text())
    house.desktop.do("mail", "-r", "tony@tony.test", "-s", "no mx", "tony@plain.tony.test", stdin="x\n")
    house.relay.logged(
        r"to=<tony@plain\.tony\.test>, relay=plain\.tony\.test\[127\.0\.0\.4\]:25, .*dsn=2\.0\.0, status=sent",
        after=start,
    )


def test_a_domain_with_only_an_ipv6_address_is_looked_up(house: Story) -> None:
    start = len(house.relay.text())
    house.desktop.do("mail", "-r", "tony@tony.test", "-s", "six", "someone@6only.test", stdin="x\n")
    # ::1 is smtp12's own, by inet_interfaces' default: it must not send to itself.
    house.relay.logged(
        r"to=<someone@6only\.test>, relay=none, .*dsn=5\.4\.6, status=bounced"
        r" \(mail for 6only\.test loops back to myself\)",
        after=start,
    )


def test_a_domain_that_cannot_be_looked_up_is_tried_later(house: Story) -> None:
    start = len(house.relay.text())
    house.desktop.do("mail", "-r", "tony@tony.test", "-s", "servfail", "x@broken.test", stdin="x\n")
    line = house.relay.logged(
        rf"({LONG_ID}): to=<x@broken\.test>, relay=none, .*dsn=4\.4\.3, status=deferred", after=start
    )
    house.relay.do("postsuper", "-d", line[1])


def test_smtp12_relays_for_nobody_outside_mynetworks(house: Story) -> None:
    start = len(house.relay.text())
    with smtp(RELAY, OUTSIDE) as client:
        client.mail("a@elsewhere.test")
        code, text = client.rcpt("tony@tony.test")
    assert (code, text) == (454, b"4.7.1 <tony@tony.test>: Relay access denied")
    house.relay.logged(
        r"NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.77\]: 454 4\.7\.1 <tony@tony\.test>: Relay access denied;"
        r" from=<a@elsewhere\.test> to=<tony@tony\.test> proto=ESMTP helo=<client\.test>",
        after=start,
    )


def test_an_access_table_in_mynetworks_admits_ok_rows_and_no_reject_rows(house: Story) -> None:
    table = house.relay.configuration / "access"
    before = table.read_text()
    table.write_text(f"{before}127.0.0.78 OK\n127.0.0.79 REJECT\n")
    try:
        house.relay.do("postmap", f"hash:{table}")

        def relays_for(address: str) -> bool:
            with smtp(RELAY, address) as client:
                client.mail("a@elsewhere.test")
                return client.rcpt("tony@tony.test")[0] == 250

        eventually(lambda: relays_for("127.0.0.78"), "the table's OK row admits")
        assert not relays_for("127.0.0.79")
    finally:
        table.write_text(before)
        house.relay.do("postmap", f"hash:{table}")


def test_check_says_that_reject_rows_in_mynetworks_mean_more_here_than_in_postfix(house: Story) -> None:
    ran = house.relay.postfix("check")
    assert ran.status == 0
    assert re.search(r"warning: .*main\.cf, line \d+: .*mynetworks.*REJECT", ran.err)


# --- mail.tony.test: every kind of mailbox


def test_an_alias_group_reaches_each_member(house: Story) -> None:
    house.desktop.do("mail", "-s", "to the group", "group@tony.test", stdin="x\n")
    assert house.in_mbox("tony", "to the group")["X-Original-To"] == "group@tony.test"
    assert house.in_maildir("alice", "to the group")


def test_a_transport_of_its_own_delivers_to_a_maildir(house: Story) -> None:
    start = len(house.server.text())
    house.desktop.do("mail", "-s", "to the Maildir", "alice@tony.test", stdin="x\n")
    house.in_maildir("alice", "to the Maildir")
    house.server.logged(r"to=<alice@tony\.test>, relay=maildir, .*status=sent \(delivered to maildir\)", after=start)
    file = next((Path("~alice").expanduser() / "Maildir" / "new").iterdir())
    assert (file.owner(), file.stat().st_mode & 0o777) == ("alice", 0o600)


def test_a_virtual_account_is_delivered_into_the_native_store(house: Story) -> None:
    start = len(house.server.text())
    house.desktop.do("mail", "-s", "to joe", "joe@virt.tony.test", stdin="x\n")
    house.server.logged(r"to=<joe@virt\.tony\.test>, relay=store, .*status=sent", after=start)


def test_the_spool_file_belongs_to_its_user(house: Story) -> None:
    file = Path("/var/mail/tony")
    assert (file.owner(), file.stat().st_mode & 0o777 & ~0o060) == ("tony", 0o600)
    assert not Path("/var/mail/tony.lock").exists()


# --- What cannot be delivered comes back


def test_mail_to_an_unknown_user_comes_back_as_a_bounce(house: Story) -> None:
    house.server.do("sendmail", "-f", "tony@tony.test", "nobody.here@tony.test", stdin="Subject: to nobody\n\nx\n")

    def returned() -> Message | None:
        return next(
            (m for m in house.mbox("tony") if "nobody.here" in m.as_string() and m["Subject"].startswith("Undel")), None
        )

    bounce = eventually(returned, f"a bounce {house.end()}")
    assert bounce["From"] == "MAILER-DAEMON@tony.test (Mail Delivery System)" or "MAILER-DAEMON@" in bounce["From"]
    assert bounce.get_from().split()[0] == "MAILER-DAEMON"
    assert bounce.get_content_type() == "multipart/report"
    report = bounce.get_payload(1)
    assert not isinstance(report, str) and report.get_content_type() == "message/delivery-status"
    status = report.as_string()
    assert "Final-Recipient: rfc822; nobody.here@tony.test" in status
    assert "Status: 5.1.1" in status and "Action: failed" in status


def test_a_bounce_travels_back_over_the_network(house: Story) -> None:
    # From the outside the server refuses an unknown user at once; then smtp12 returns the message to the sender.
    text = "From: tony@tony.test\nTo: nobody.else@tony.test\nSubject: far bounce\n\nx\n"
    house.desktop.do("sendmail", "-f", "tony@tony.test", "nobody.else@tony.test", stdin=text)

    def returned() -> Message | None:
        return next((m for m in house.mbox("tony") if "nobody.else@tony.test" in m.as_string()), None)

    bounce = eventually(returned, f"a bounce {house.end()}")
    assert "dns; smtp12.example.com" in bounce.as_string()
    assert "550 5.1.1 <nobody.else@tony.test>: Recipient address rejected: User unknown" in re.sub(
        r"\s+", " ", bounce.as_string()
    )


def test_a_mail_loop_is_found(house: Story) -> None:
    start = len(house.relay.text())
    house.desktop.do("mail", "-r", "tony@tony.test", "-s", "loop", "x@loop.test", stdin="x\n")
    house.relay.logged(
        r"to=<x@loop\.test>, relay=.*dsn=5\.4\.6, status=bounced \(.*mail for loop\.test loops back to myself\)",
        after=start,
    )


# --- smtp12 is down: the message waits on desktop12


@contextmanager
def stopped_relay(house: Story) -> Iterator[None]:
    house.relay.stop()
    try:
        yield
    finally:
        if house.relay.master() is None:
            house.relay.start()


def waiting(house: Story, recipient: str) -> str:
    """Wait until a message to this recipient is deferred on desktop12; its queue id."""
    start = len(house.desktop.text())
    house.desktop.do("mail", "-s", f"waits for {recipient}", recipient, stdin="patience\n", user="alice")
    return house.desktop.logged(rf"({LONG_ID}): to=<{re.escape(recipient)}>, .*status=deferred", after=start)[1]


def test_a_stopped_relay_leaves_the_message_in_the_queue_with_the_reason(house: Story) -> None:
    with stopped_relay(house):
        queue_id = waiting(house, "tony@tony.test")
        listing = queue(house.desktop)
        assert listing == house.desktop.do("postqueue", "-p")
        assert re.search(
            rf"^{queue_id}\s+\d+ \w{{3}} \w{{3}} [ \d]\d \d\d:\d\d:\d\d  alice@desktop12\.example\.com\n"
            r" *\(connect to smtp12\.example\.com\[127\.0\.0\.3\]:25: Connection refused\)\n"
            r" +tony@tony\.test\n",
            listing,
            re.MULTILINE,
        ), listing
        assert re.search(r"^-- \d+ Kbytes in 1 Request\.$", listing, re.MULTILINE)
        shown = house.desktop.do("postcat", "-q", queue_id)
        assert "Subject: waits for tony@tony.test\n" in shown
        assert "sender: alice@desktop12.example.com\n" in shown
        assert "patience\n" in shown
        # An ordinary user may look, and may not delete.
        assert house.desktop.do("mailq", user="tony") == listing
        assert house.desktop.run("postsuper", "-d", queue_id, user="tony").status != 0
        ran = house.desktop.run("postsuper", "-d", queue_id)
        assert (ran.status, ran.err) == (
            0,
            f"postsuper: {queue_id}: removed\npostsuper: Deleted: 1 message\n",
        )
        assert empty(house.desktop)


def test_postqueue_f_sends_what_waited_when_the_relay_is_back(house: Story) -> None:
    with stopped_relay(house):
        waiting(house, "tony@tony.test")
        house.relay.start()
        house.desktop.do("postqueue", "-f")
        house.in_mbox("tony", "waits for tony@tony.test")
        eventually(lambda: empty(house.desktop), "an empty queue")


def test_postfix_flush_sends_what_waited_when_the_relay_is_back(house: Story) -> None:
    with stopped_relay(house):
        waiting(house, "alice@tony.test")
        house.relay.start()
        assert house.desktop.postfix("flush").status == 0
        house.in_maildir("alice", "waits for alice@tony.test")
        eventually(lambda: empty(house.desktop), "an empty queue")


# --- The operator's hand


def test_a_reload_keeps_an_open_session(house: Story) -> None:
    with smtp(SERVER) as client:
        assert client.mail("a@elsewhere.test")[0] == 250
        before = set(house.server.processes())
        start = len(house.server.text())
        assert house.server.postfix("reload").status == 0
        house.server.logged(r"master\[\d+\]: reload -- version", after=start)
        # New workers answer new connections.
        eventually(lambda: set(house.server.processes()) - before, "new workers")
        with smtp(SERVER) as other:
            assert other.noop()[0] == 250
        assert client.rcpt("tony@tony.test")[0] == 250
        assert client.data(b"Subject: over a reload\r\n\r\nx\r\n")[0] == 250
    house.in_mbox("tony", "over a reload")


def test_a_reload_of_a_broken_configuration_changes_nothing(house: Story) -> None:
    main = house.relay.configuration / "main.cf"
    good = main.read_text()
    main.write_text(good + "maximal_queue_lifetime = 5parsecs\n")
    try:
        ran = house.relay.postfix("reload")
        assert ran.status == 1
        assert "maximal_queue_lifetime" in ran.err
    finally:
        main.write_text(good)
    with smtp(RELAY) as client:
        assert client.noop()[0] == 250


def mail_worker(instance: Instance) -> int:
    """The process that serves port 25."""
    master = instance.master()
    return next(pid for pid in instance.processes() if pid != master and 0 not in uids(pid) and 25 in tcp_ports(pid))


def test_a_killed_worker_comes_back_and_its_queue_goes_on(house: Story) -> None:
    house.server.stop()
    try:
        house.desktop.do("mail", "-s", "over a crash", "tony@tony.test", stdin="x\n")
        eventually(lambda: "tony@tony.test" in queue(house.relay) and "(" in queue(house.relay), "a deferred message")
        worker = mail_worker(house.relay)
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: not alive(worker), "the end of the worker")
        eventually(lambda: _answers(RELAY), "a new worker")
        assert "tony@tony.test" in queue(house.relay)
    finally:
        house.server.start()
    house.relay.do("postqueue", "-f")
    house.in_mbox("tony", "over a crash")
    house.relay.logged(r"warning: process .* worker pid \d+ killed by signal 9")


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 25), timeout=5) as connection:
            return connection.recv(4) == b"220 "
    except OSError:
        return False


def test_kill_9_of_the_master_leaves_no_orphan(house: Story) -> None:
    processes = house.relay.processes()
    os.kill(processes[0], signal.SIGKILL)
    try:
        eventually(lambda: not [pid for pid in processes if alive(pid)], "the end of every process")
    finally:
        house.relay.start()
    house.desktop.do("mail", "-s", "after the master's death", "tony@tony.test", stdin="x\n")
    house.in_mbox("tony", "after the master's death")


# --- postfix check


@pytest.fixture
def broken(house: Story, tmp_path: Path) -> Instance:
    """A copy of smtp12's configuration, to be broken."""
    folder = tmp_path / "etc"
    shutil.copytree(house.relay.configuration, folder)
    return Instance(folder, house.relay.log, house.relay.queue_directory)


def test_check_names_file_and_line_of_a_broken_main_cf(broken: Instance) -> None:
    main = broken.configuration / "main.cf"
    lines = main.read_text().splitlines()
    main.write_text("\n".join([*lines, "message_size_limit = many"]) + "\n")
    ran = broken.postfix("check")
    assert (ran.status, ran.out) == (1, "")
    assert f"{main}, line {len(lines) + 1}: " in ran.err and "message_size_limit" in ran.err


def test_check_names_file_and_line_of_a_broken_master_cf(broken: Instance) -> None:
    master = broken.configuration / "master.cf"
    count = len(master.read_text().splitlines())
    with master.open("a") as file:
        file.write("oops inet n - n\n")
    ran = broken.postfix("check")
    assert ran.status == 1
    assert re.search(rf"{master}.*line {count + 1}", ran.err)


def test_check_on_a_terminal_says_the_same(broken: Instance) -> None:
    with (broken.configuration / "main.cf").open("a") as file:
        file.write("message_size_limit = many\n")
    with Terminal([str(COMMANDS / "postfix"), "-c", str(broken.configuration), "check"], TERMINAL) as terminal:
        terminal.shows("message_size_limit")
        assert terminal.status() == 1


def test_advice_is_a_warning_and_no_failure(broken: Instance) -> None:
    main = broken.configuration / "main.cf"
    count = len(main.read_text().splitlines())
    with main.open("a") as file:
        file.write("smptd_banner = hello\n")
    ran = broken.postfix("check")
    assert ran.status == 0
    assert re.search(rf"warning: {main}, line {count + 1}: .*smtpd_banner", ran.err)


# --- Out of the mailboxes: `mail` on the server, IMAP and POP3, with TLS and without


def trusting(house: Story) -> ssl.SSLContext:
    """TLS that knows the server's own certificate."""
    context = ssl.create_default_context(cafile=str(house.site.server.configuration / "cert.pem"))
    context.check_hostname = False
    return context


def imap_subjects(house: Story, login: str, *, port: int, starttls: bool) -> set[str]:
    """The subjects in INBOX."""
    client: imaplib.IMAP4
    if port == 993:
        client = imaplib.IMAP4_SSL(SERVER, 993, ssl_context=trusting(house), timeout=60)
    else:
        client = imaplib.IMAP4(SERVER, 143, timeout=60)
        if starttls:
            client.starttls(trusting(house))
    with client:
        client.login(login, PASSWORDS[login])
        assert client.select("INBOX", readonly=True)[0] == "OK"
        _, found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return {part[1].decode().partition(":")[2].strip() for part in found if isinstance(part, tuple)}


def pop3_subjects(house: Story, login: str, *, port: int, stls: bool) -> set[str]:
    """The subjects that POP3 shows."""
    client: poplib.POP3
    if port == 995:
        client = poplib.POP3_SSL(SERVER, 995, context=trusting(house), timeout=60)
    else:
        client = poplib.POP3(SERVER, 110, timeout=60)
        if stls:
            client.stls(trusting(house))
    client.user(login)
    client.pass_(PASSWORDS[login])
    count, size = client.stat()
    assert len(client.list()[1]) == len(client.uidl()[1]) == count and size > 0
    lines = [line.decode() for number in range(1, count + 1) for line in client.retr(number)[1]]
    client.quit()
    return {line.partition(":")[2].strip() for line in lines if line.startswith("Subject:")}


LOGINS = {"tony": "an mbox", "alice": "a Maildir", "joe@virt.tony.test": "the native store"}


@pytest.fixture(scope="module")
def letters(house: Story) -> dict[str, str]:
    """One letter in each kind of mailbox, by login."""
    posted = {}
    for login, where in LOGINS.items():
        address = login if "@" in login else f"{login}@tony.test"
        start = len(house.server.text())
        house.desktop.do("mail", "-s", f"to fetch from {where}", address, stdin="Fetch me.\n")
        house.server.logged(rf"to=<{re.escape(address)}>.*status=sent", after=start)
        posted[login] = f"to fetch from {where}"
    return posted


@pytest.fixture
def without_tls(house: Story) -> Iterator[None]:
    """Passwords are taken in plain text, as courses have it."""
    house.server.do("postconf", "-e", "imapd_tls_auth_only = no", "pop3d_tls_auth_only = no")
    reload(house.server)
    yield
    house.server.do("postconf", "-X", "imapd_tls_auth_only", "pop3d_tls_auth_only")
    reload(house.server)


def reload(instance: Instance) -> None:
    """postfix reload, and wait until only new processes are there."""
    master, *before = instance.processes()
    assert instance.postfix("reload").status == 0
    eventually(lambda: not set(before) & set(instance.processes()), "the old workers' end")
    assert instance.master() == master


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("port", [143, 993])
def test_imaplib_reads_each_kind_of_mailbox_over_tls(
    house: Story, letters: dict[str, str], login: str, port: int
) -> None:
    assert letters[login] in imap_subjects(house, login, port=port, starttls=True)


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("port", [110, 995])
def test_poplib_reads_each_kind_of_mailbox_over_tls(
    house: Story, letters: dict[str, str], login: str, port: int
) -> None:
    assert letters[login] in pop3_subjects(house, login, port=port, stls=True)


def test_a_password_in_plain_text_is_refused_by_default(house: Story) -> None:
    with imaplib.IMAP4(SERVER, 143, timeout=60) as client:
        assert "LOGINDISABLED" in client.capabilities
        with pytest.raises(imaplib.IMAP4.error):
            client.login("tony", PASSWORDS["tony"])
    client = poplib.POP3(SERVER, 110, timeout=60)
    with pytest.raises(poplib.error_proto):
        client.user("tony")
        client.pass_(PASSWORDS["tony"])
    client.close()


def test_a_wrong_password_opens_nothing(house: Story) -> None:
    for login in LOGINS:
        client = imaplib.IMAP4_SSL(SERVER, 993, ssl_context=trusting(house), timeout=60)
        with client, pytest.raises(imaplib.IMAP4.error):
            client.login(login, "wrong")


def test_both_read_each_kind_of_mailbox_without_tls(house: Story, letters: dict[str, str], without_tls: None) -> None:
    for login, subject in letters.items():
        assert subject in imap_subjects(house, login, port=143, starttls=False)
        assert subject in pop3_subjects(house, login, port=110, stls=False)


@pytest.mark.parametrize("login", ["tony", "alice"])
def test_mail_lists_and_shows_what_arrived(house: Story, letters: dict[str, str], login: str) -> None:
    listed = house.server.do("mail", "-H", user=login)
    number = next(
        line.split()[1 if line.startswith(">") else 0] for line in listed.splitlines() if letters[login] in line
    )
    shown = house.server.do("mail", stdin=f"{number}\nx\n", user=login)
    assert f"Subject: {letters[login]}\n" in shown
    assert "Fetch me.\n" in shown


def test_what_imap_deletes_is_gone_from_the_spool_file(house: Story) -> None:
    house.desktop.do("mail", "-s", "delete me", "tony@tony.test", stdin="x\n")
    house.in_mbox("tony", "delete me")
    with imaplib.IMAP4_SSL(SERVER, 993, ssl_context=trusting(house), timeout=60) as client:
        client.login("tony", PASSWORDS["tony"])
        client.select("INBOX")
        _, numbers = client.search(None, "SUBJECT", '"delete me"')
        client.store(numbers[0].split()[0].decode(), "+FLAGS", "\\Deleted")
        client.expunge()
    assert with_subject(house.mbox("tony"), "delete me") is None
    assert house.mbox("tony")


def test_idle_tells_of_a_new_message(house: Story) -> None:
    with imaplib.IMAP4_SSL(SERVER, 993, ssl_context=trusting(house), timeout=35) as client:
        client.login("joe@virt.tony.test", PASSWORDS["joe@virt.tony.test"])
        count = int(client.select("INBOX")[1][0] or b"0")
        client.send(b"x1 IDLE\r\n")
        assert client.readline().startswith(b"+ ")
        house.desktop.do("mail", "-s", "wake up", "joe@virt.tony.test", stdin="x\n")
        lines = [client.readline()]
        while b"EXISTS" not in lines[-1]:
            lines.append(client.readline())
        assert lines[-1] == b"* %d EXISTS\r\n" % (count + 1)
        client.send(b"DONE\r\n")
        while not client.readline().startswith(b"x1 OK"):
            pass


# --- trace: what happened to a message


def test_trace_tells_the_way_of_a_message(house: Story) -> None:
    start = len(house.relay.text())
    house.desktop.do("mail", "-s", "traced", "tony@tony.test", stdin="x\n")
    message = house.in_mbox("tony", "traced")
    line = house.relay.logged(rf"({LONG_ID}): to=<tony@tony\.test>.*status=sent", after=start)

    def told(*key: str) -> str:
        ran = house.relay.run("posthouse", "trace", *key)
        return ran.out if ran.status == 0 and "status=sent" in ran.out else ""

    by_id = eventually(lambda: told(line[1]), "the journal's record")
    assert "tony@tony.test" in by_id
    assert eventually(lambda: told(message["Message-Id"]), "by Message-Id")
    assert house.relay.run("posthouse", "trace", "nobody@nowhere.test").status == 1


# --- The queue is empty again


def test_nothing_is_left_behind(house: Story) -> None:
    for instance in house.hosts:
        eventually(lambda instance=instance: empty(instance), f"an empty queue: {queue(instance)}")
        faults = [line for line in instance.text().splitlines() if re.search(r": (error|fatal|panic): ", line)]
        expected = (
            "already running",
            "integrity check failed",
            "was not read anew",
            "5parsecs",
            "line ",
            "main.cf",
            "master.cf",
        )
        assert [line for line in faults if not any(text in line for text in expected)] == []
