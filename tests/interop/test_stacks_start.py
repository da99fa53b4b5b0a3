"""The ten stacks of tests/golden/stacks start here, and mail moves through each as its owner would have it.

Neighbours (amavis, policy servers, milters, Dovecot's logins and LMTP, name servers) are small fakes; MySQL is a real
one. What a stack can live without is left out.
"""

import asyncio
import os
import shutil
import smtplib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from posthouse.testkit.content_filter import FIELD, start_content_filter
from posthouse.testkit.dovecot_auth import DovecotAuth
from posthouse.testkit.policy_server import PolicyServer
from posthouse.testkit.smtp_sink import Script, SmtpSink
from tests.free_port import free_port
from tests.golden.stacks.stack import FOLDER
from tests.interop.database_servers import MARIADB, Server, mariadb
from tests.interop.stack_host import OUTSIDE, StackHost, laid_out, named, trusting
from tests.system.machine import eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the stacks drop to users of their own")

LETTER = "From: Ann <ann@sender.test>\nTo: you\nSubject: hello\nUser-Agent: secret\n\nHow are you?\n"


class Running:
    """The block in which a stack runs."""

    def __init__(self, host: StackHost) -> None:
        self.host = host

    async def __aenter__(self) -> StackHost:
        await asyncio.to_thread(self.host.instance.start)
        return self.host

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.to_thread(self.host.instance.stop)
        finally:
            self.host.instance.kill()


async def post(
    host: StackHost,
    recipient: str,
    *,
    service: str = "smtp",
    sender: str = "ann@sender.test",
    outside: bool = True,
    tls: bool = False,
    login: tuple[str, str] = ("", ""),
) -> str:
    """Hand one letter over by SMTP; the reply to its end, or the first that is no."""

    def talk() -> str:
        client = host.client(service)
        try:
            if tls:
                client.starttls(context=trusting())
                client.ehlo("mail.sender.test")
            if outside:
                code, text = client.docmd(OUTSIDE)
                if code != 220:
                    return f"{code} {text.decode()}"
                client.ehlo("mail.sender.test")
            if login[0]:
                client.login(*login)
            for code, text in (client.mail(sender), client.rcpt(recipient)):
                if code != 250:
                    return f"{code} {text.decode()}"
            code, text = client.data(LETTER.encode().replace(b"\n", b"\r\n"))
            return f"{code} {text.decode()}"
        except smtplib.SMTPResponseException as error:
            return f"{error.smtp_code} {error.smtp_error!r}"
        finally:
            client.close()

    return await asyncio.to_thread(talk)


async def logged(host: StackHost, pattern: str) -> str:
    """Wait for a line of the log."""
    found = await asyncio.to_thread(host.instance.logged, pattern)
    return found[0]


async def one(sink: SmtpSink) -> bytes:
    """The content of the first message that a sink takes."""
    for _ in range(600):
        if sink.taken:
            return sink.taken[0].content
        await asyncio.sleep(0.03)
    raise AssertionError("nothing came")


async def test_debians_default_delivers_to_a_user_by_an_alias() -> None:
    async with named() as names:
        with laid_out("debian", more=names) as host:
            host.newaliases()
            async with Running(host):
                assert (await post(host, "postmaster@example.com")).startswith("250 2.0.0 Ok")
                await logged(host, "to=<nobody@example.com>, orig_to=<postmaster@example.com>, relay=local.*=sent")
                assert "How are you?" in (host.folder / "mail" / "nobody").read_text()
                assert (await post(host, "x@far.test")).startswith("454 4.7.1 <x@far.test>: Relay access denied")
                assert (await post(host, "nouser@example.com")).startswith("550 5.1.1 <nouser@example.com>: Recipient")


async def test_a_null_client_sends_everything_to_its_mail_server() -> None:
    sink = await SmtpSink().start()
    async with named() as names:
        with laid_out("null-client", {"relayhost": f"[127.0.0.1]:{sink.port}"}, names) as host:
            async with Running(host):
                sent = await asyncio.to_thread(
                    host.instance.run, "sendmail", "-f", "root", "root", "x@far.test", stdin=LETTER
                )
                assert sent.status == 0, sent
                assert b"How are you?" in await one(sink)
                assert sink.taken[0].sender == "root@example.com"
                assert sorted(sink.taken[0].recipients) == ["root@example.com", "x@far.test"]
    await sink.stop()


async def test_a_backup_mx_keeps_mail_until_the_primary_is_back() -> None:
    primary, inside = free_port(), await SmtpSink().start()
    zones = """\
the.backed-up.example   MX 10 mail.backed-up.example
the.backed-up.example   MX 100 mx2.example.net
mail.backed-up.example  A 127.0.0.2
mx2.example.net         A 192.0.2.25
"""
    async with named(zones) as names:
        more = f"{names}smtp_tcp_port = {primary}\nminimal_backoff_time = 1s\n"
        with laid_out("backup-mx", {"customer": f"[127.0.0.1]:{inside.port}"}, more) as host:
            host.postmap("relay_recipients", "transport")
            async with Running(host):
                assert (await post(host, "user1@the.backed-up.example")).startswith("250 2.0.0 Ok")
                assert (await post(host, "nouser@the.backed-up.example")).startswith("550 5.1.1")
                assert (await post(host, "x@far.test")).startswith("554 5.7.1 <x@far.test>: Relay access denied")
                await logged(host, "to=<user1@the.backed-up.example>.*status=deferred .*Connection refused")
                assert "user1@the.backed-up.example" in host.instance.do("mailq")
                back = await SmtpSink().start("127.0.0.2", primary)
                host.instance.do("postqueue", "-s", "the.backed-up.example")
                assert b"How are you?" in await one(back)
                await logged(host, "to=<user1@the.backed-up.example>.*status=sent")
                assert (await post(host, "anyone@customer.example")).startswith("250 2.0.0 Ok")
                assert b"How are you?" in await one(inside)
                await back.stop()
    await inside.stop()


async def test_an_amavis_sandwich_sends_everything_through_the_filter_once() -> None:
    back, inside = free_port(), await SmtpSink().start()
    amavis = await start_content_filter(back, lmtp=True)
    values = {"amavis": str(amavis.port), "reinjection": str(back), "inside": f"[127.0.0.1]:{inside.port}"}
    async with named() as names:
        with laid_out("amavis", values, names) as host:
            host.newaliases()
            host.postmap("relay_recipients", "virtual", "transport")
            async with Running(host):
                assert (await post(host, "sales@example.com")).startswith("250 2.0.0 Ok")
                content = await one(inside)
                assert FIELD in content
                assert amavis.taken[0].recipients == ("sales@example.com",)  # no_address_mappings before the filter
                assert inside.taken[0].recipients == ("user@example.com",)
                assert any(line.startswith("XFORWARD NAME=mail.sender.test ADDR=192.0.2.9") for line in amavis.lines)
                await logged(host, r"amavisfeed|lmtp.*relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+.*status=sent")
                await logged(host, r"to=<user@example.com>, (orig_to=<sales@example.com>, )?relay=127.*status=sent")
    await amavis.stop()
    await inside.stop()


async def test_a_mailman_site_hands_posts_to_lmtp_and_an_old_list_to_the_script() -> None:
    mailman, sink = await SmtpSink(Script("lmtp.example", lmtp=True)).start(), await SmtpSink().start("127.0.0.2")
    async with named() as names:
        more = f"{names}smtp_tcp_port = {sink.port}\n"
        values = {"lmtp": str(mailman.port), "list": "nobody"}
        with laid_out("mailman", values, more) as host:
            script = '#!/bin/sh\n{ echo "$@"; cat; } >> ' + f"{host.folder}/mail/old\n"
            spawned(host, "/usr/lib/mailman/bin/postfix-to-mailman.py", script)
            host.newaliases()
            host.postmap("postfix_lmtp", "postfix_domains", "transport")
            async with Running(host):
                assert (await post(host, "talk@lists.example.com")).startswith("250 2.0.0 Ok")
                assert b"How are you?" in await one(mailman)
                assert mailman.taken[0].recipients == ("talk@lists.example.com",)
                assert (await post(host, "nolist@lists.example.com")).startswith("550 5.1.1")
                # What Mailman sends: one envelope with a VERP sender for a subscriber elsewhere.
                verp = "talk-bounces+sue=far.test@lists.example.com"
                assert (await post(host, "sue@far.test", sender=verp, outside=False)).startswith("250 2.0.0 Ok")
                await one(sink)
                assert sink.taken[0].sender == verp
                assert (await post(host, "olden@old-lists.example.com")).startswith("250 2.0.0 Ok")
                await logged(host, "to=<olden@old-lists.example.com>, relay=mailman, .*status=sent")
                assert (host.folder / "mail" / "old").read_text().startswith("old-lists.example.com olden\n")
    await mailman.stop()
    await sink.stop()


LOGIN = ("user@example.com", "secret")

SPF = """#!/bin/sh
while read line; do
    case $line in
    client_address=*) client=${line#*=} ;;
    "") echo "action=PREPEND Received-SPF: Pass (a fake) client-ip=$client"; echo ;;
    esac
done
"""


def spawned(host: StackHost, usual: str, script: str) -> None:
    """A command of the stack's master.cf, played by a script."""
    path = host.folder / "etc" / usual.rpartition("/")[2]
    path.write_text(script)
    path.chmod(0o755)
    master = host.folder / "etc" / "master.cf"
    master.write_text(master.read_text().replace(usual, str(path)))


def open_to_all(path: Path) -> str:
    """A socket that other users may speak with."""
    path.chmod(0o666)
    return str(path)


@contextmanager
def mysql(statements: Path) -> Iterator[Server]:
    """A real server after these statements."""
    folder = Path(tempfile.mkdtemp(prefix="posthouse-mysql-"))
    folder.chmod(0o755)
    try:
        with mariadb(folder / "db", statements.read_text()) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_docker_mailserver_takes_submissions_and_delivers_them_by_lmtp() -> None:
    back = free_port()
    amavis = await start_content_filter(back)
    logins = DovecotAuth(dict([LOGIN]))
    async with named() as names:
        values = {"amavis": str(amavis.port), "reinjection": str(back), "spf_user": "nobody"}
        with laid_out("docker-mailserver", values, names) as host:
            spawned(host, "/usr/bin/policyd-spf", SPF)
            host.newaliases()
            sockets = host.folder / "sockets"
            sockets.mkdir(0o755)
            main = host.folder / "etc" / "main.cf"
            text = main.read_text().replace("/dev/shm/sasl-auth.sock", f"{sockets}/auth")
            main.write_text(text.replace("/var/run/dovecot/lmtp", f"{sockets}/lmtp"))
            boxes = await SmtpSink(Script("lmtp.example", lmtp=True)).start(path=str(sockets / "lmtp"))
            auth = await logins.start_unix(str(sockets / "auth"))
            for name in ("auth", "lmtp"):
                open_to_all(sockets / name)
            async with Running(host):
                sent = await post(
                    host, "sales@example.com", service="submission", outside=True, tls=True, login=LOGIN,
                    sender="user@example.com",
                )  # fmt: skip
                assert sent.startswith("250 2.0.0 Ok"), sent
                content = await one(boxes)
                assert boxes.taken[0].recipients == ("user@example.com",)
                assert FIELD in content
                assert b"User-Agent" not in content, "sender-cleanup's header_checks act"
                await logged(host, r"postfix/sender-cleanup/cleanup\[\d+\]: .*: message-id=<")
                other = await post(
                    host, "sales@example.com", service="submission", outside=True, tls=True, login=LOGIN,
                    sender="admin@example.com",
                )  # fmt: skip
                assert other.startswith("553 5.7.1 <admin@example.com>: Sender address rejected: not owned by user")
                assert (await post(host, "sales@example.com")).startswith("250 2.0.0 Ok")
                await logged(host, r"postfix/postscreen\[\d+\]: (WHITELISTED|ALLOWLISTED) \[127.0.0.1\]")
                await asyncio.to_thread(eventually, lambda: len(boxes.taken) == 2)
                assert b"Received-SPF: Pass (a fake) client-ip=192.0.2.9" in boxes.taken[-1].content
                assert (await post(host, "x@far.test")).startswith("554 5.7.1 <x@far.test>: Relay access denied")
                bare = await post(host, "sales@example.com", service="submission", outside=True)
                assert bare.startswith("530 5.7.0 Must issue a STARTTLS command first")
            auth.close()
            await boxes.stop()
    await amavis.stop()


async def test_mail_in_a_box_greylists_checks_quota_and_delivers_by_lmtp() -> None:
    spampd = await SmtpSink(Script("spampd", lmtp=True)).start()
    postgrey, quota, logins = PolicyServer(), PolicyServer(), DovecotAuth(dict([LOGIN]))
    servers = [await postgrey.start(), await quota.start()]
    ports = [str(server.sockets[0].getsockname()[1]) for server in servers]
    values = {
        "postgrey": ports[0],
        "quota": ports[1],
        "spampd": str(spampd.port),
        "bind": "127.0.0.1",
        # accept is the default action
        "opendkim": str(free_port()),
        "opendmarc": str(free_port()),
    }
    async with named() as names:
        with laid_out("mail-in-a-box", values, names) as host:
            database = host.folder / "etc" / "users.sqlite"
            for table in (host.folder / "etc").glob("*.cf"):
                table.write_text(table.read_text().replace("/home/user-data/mail/users.sqlite", str(database)))
            connection = apsw.Connection(str(database))
            connection.execute((FOLDER / "mail-in-a-box" / "users.sql").read_text())
            connection.close()
            host.newaliases()
            private = host.folder / "spool" / "private"
            private.mkdir()
            servers.append(await logins.start_unix(str(private / "auth")))
            open_to_all(private / "auth")
            async with Running(host):
                assert (await post(host, "sales@example.com")).startswith("250 2.0.0 Ok")
                await one(spampd)
                assert spampd.taken[0].recipients == ("user@example.com",)
                assert [r["recipient"] for r in postgrey.requests + quota.requests] == ["sales@example.com"] * 2
                assert (await post(host, "nouser@example.com")).startswith("550 5.1.1 <nouser@example.com>: Recipient")
                postgrey.action = "DEFER_IF_PERMIT Greylisted"
                assert (await post(host, "sales@example.com")).startswith("450 4.7.1 <sales@example.com>: Recipient")
                sent = await post(
                    host, "admin@box.example.com", service="submission", tls=True, login=LOGIN,
                    sender="user@example.com",
                )  # fmt: skip
                assert sent.startswith("250 2.0.0 Ok"), sent
                await logged(host, "to=<admin@box.example.com>, relay=127.*status=sent")
                private_mail = spampd.taken[-1].content
                assert b"Received: from authenticated-user (box.example.com [192.0.2.1])" in private_mail
                assert b"User-Agent" not in private_mail
    for server in servers:
        server.close()
    await spampd.stop()


@pytest.mark.skipif(MARIADB is None, reason="needs mariadb-server (Debian: apt-get install mariadb-server)")
async def test_iredmail_asks_mysql_and_gives_mail_to_dovecots_deliver() -> None:
    back = free_port()
    amavis, outgoing = await start_content_filter(back), await start_content_filter(back)
    iredapd, quota, logins = PolicyServer(), PolicyServer(), DovecotAuth(dict([LOGIN]))
    servers = [await iredapd.start(), await quota.start()]
    ports = [str(server.sockets[0].getsockname()[1]) for server in servers]
    with mysql(FOLDER / "iredmail" / "vmail.sql") as database:
        values = {
            "iredapd": ports[0],
            "quota": ports[1],
            "amavis": str(amavis.port),
            "reinjection": str(back),
            "originating": str(outgoing.port),
            "mlmmj": str(free_port()),
            "vmail": "nobody:nogroup",
            "database": f"127.0.0.1:{database.port}",
        }
        async with named() as names:
            with laid_out("iredmail", values, names) as host:
                deliver = '#!/bin/sh\n{ echo "$@"; cat; } >> ' + f"{host.folder}/mail/delivered\n"
                spawned(host, "/usr/lib/dovecot/deliver", deliver)
                host.newaliases()
                private = host.folder / "spool" / "private"
                private.mkdir()
                servers.append(await logins.start_unix(str(private / "dovecot-auth")))
                open_to_all(private / "dovecot-auth")
                async with Running(host):
                    sent = await post(
                        host, "sales@example.com", service="submission", tls=True, login=LOGIN,
                        sender="user@example.com",
                    )  # fmt: skip
                    assert sent.startswith("250 2.0.0 Ok"), sent
                    await logged(host, "to=<user@example.com>, .*relay=dovecot, .*status=sent")
                    assert "-d user@example.com -m" in (host.folder / "mail" / "delivered").read_text()
                    assert not amavis.taken
                    assert len(outgoing.taken) == 1
                    assert {r["protocol_state"] for r in iredapd.requests} == {"RCPT", "END-OF-MESSAGE"}
                    local = await asyncio.to_thread(host.instance.run, "sendmail", "sales@example.com", stdin=LETTER)
                    assert local.status == 0
                    await asyncio.to_thread(eventually, lambda: len(outgoing.taken) == 2)
                    nobody = await post(
                        host, "nouser@example.com", service="submission", tls=True, login=LOGIN,
                        sender="user@example.com",
                    )  # fmt: skip
                    assert nobody.startswith("550 5.1.1 <nouser@example.com>: Recipient address rejected: User unknown")
                    assert (await post(host, "user@example.com")).startswith("250 2.0.0 Ok")
                    await asyncio.to_thread(eventually, lambda: len(amavis.taken) == 1)
                    assert quota.requests[-1]["recipient"] == "user@example.com"
    for server in servers:
        server.close()
    await amavis.stop()
    await outgoing.stop()


@pytest.mark.skipif(MARIADB is None, reason="needs mariadb-server (Debian: apt-get install mariadb-server)")
async def test_mailcow_asks_mysql_and_delivers_to_dovecots_lmtp() -> None:
    dovecot, logins = await SmtpSink(Script("dovecot", lmtp=True)).start(), DovecotAuth(dict([LOGIN]))
    auth = await logins.start()
    with mysql(FOLDER / "mailcow" / "mailcow.sql") as database:
        values = {
            "dovecot": "127.0.0.1",
            "auth": str(auth.sockets[0].getsockname()[1]),
            "lmtp": str(dovecot.port),
            "rspamd": "127.0.0.1",
            "milter": str(free_port()),
            "zeyple": str(free_port()),
            "whitelist": str(free_port()),
            "database": str(database.socket),
        }
        async with named() as names:
            with laid_out("mailcow", values, names) as host:
                host.newaliases()
                host.postmap("sni.map")
                async with Running(host):
                    sent = await post(
                        host, "sales@example.org", service="submission", tls=True, login=LOGIN,
                        sender="user@example.com",
                    )  # fmt: skip
                    assert sent.startswith("550 5.1.1 <sales@example.org>"), sent
                    sent = await post(
                        host, "user@example.org", service="submission", tls=True, login=LOGIN,
                        sender="user@example.com",
                    )  # fmt: skip
                    assert sent.startswith("250 2.0.0 Ok"), sent
                    await one(dovecot)
                    assert dovecot.taken[0].recipients == ("user@example.com",)
                    assert b"User-Agent" not in dovecot.taken[0].content, "smtp_sender_cleanup's header_checks act"
                    other = await post(
                        host, "sales@example.com", service="submission", tls=True, login=LOGIN,
                        sender="strict@example.com",
                    )  # fmt: skip
                    assert other.startswith("553 5.7.1 <strict@example.com>: Sender address rejected: not owned")
                    watched = await post(host, "null@localhost", service="watchdog", outside=False)
                    assert watched.startswith("250 2.0.0 Ok"), watched
                    await logged(host, "to=<null@localhost>.*status=sent")
                    strange = await post(host, "user@example.com", sender="ann@nowhere.test")
                    assert strange.startswith("450 4.1.8 <ann@nowhere.test>: Sender address rejected: Domain not found")
                    assert (await post(host, "user@example.com")).startswith("250 2.0.0 Ok")
                    await asyncio.to_thread(eventually, lambda: len(dovecot.taken) == 2)
    auth.close()
    await dovecot.stop()


async def test_a_postscreen_front_lets_patient_strangers_in_and_the_listed_not() -> None:
    zones = "2.0.0.127.zen.spamhaus.org A 127.0.0.2\n7.0.0.127.zen.spamhaus.org A 127.0.0.2\n"
    async with named(zones) as names:
        with laid_out("postscreen", {"wait": "1"}, names) as host:
            host.newaliases()
            async with Running(host):
                assert (await post(host, "postmaster@example.com", outside=False)).startswith("250 2.0.0 Ok")
                await logged(host, r"postfix/postscreen\[\d+\]: PASS NEW \[127.0.0.1\]:")
                await logged(host, r"postfix/smtpd-behind/smtpd\[\d+\]: connect from localhost\[127.0.0.1\]")
                await logged(host, "orig_to=<postmaster@example.com>, relay=local.*status=sent")
                assert (await post(host, "postmaster@example.com", outside=False)).startswith("250 2.0.0 Ok")
                await logged(host, r"postfix/postscreen\[\d+\]: PASS OLD \[127.0.0.1\]:")
                with pytest.raises(smtplib.SMTPConnectError) as dropped:
                    await asyncio.to_thread(host.client, "smtp", "127.0.0.7")
                assert dropped.value.smtp_code == 521
                await logged(host, r"(BLACKLISTED|DENYLISTED) \[127.0.0.7\]")
                listed = await asyncio.to_thread(host.client, "smtp", "127.0.0.2")
                listed.mail("ann@sender.test")
                code, text = listed.rcpt("postmaster@example.com")
                assert (code, text.startswith(b"5.7.1 Service unavailable; client [127.0.0.2] blocked using")) == (
                    550,
                    True,
                )
                assert b"zen.spamhaus.org" in text
                listed.close()
                await logged(host, r"DNSBL rank 2 for \[127.0.0.2\]")
