"""A spool that the real Postfix filled is taken over: what we deliver from it is, byte for byte, what Postfix delivers.

Postfix makes some hundred messages of random make-up: sizes, long lines, envelopes, DSN wishes, SMTPUTF8, edits by
header checks and by a milter, held ones, ones that reached some of their recipients. Two copies of its queue are then
delivered, one by itself and one by us, to servers that remember everything.
"""

import json
import random
import shutil
import smtplib
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.commands.export_queue import Export
from posthouse.commands.import_queue import import_queue
from posthouse.config.read import read_configuration
from tests.free_port import free_port
from tests.interop.capture_server import Capture, capture_server
from tests.interop.postfix_spool import CHECKS, PostfixSpool, postfix_spool
from tests.queue_files import defer_log, put, queue_file, record
from tests.system.machine import Instance, eventually

MESSAGES = 160

EDITS = (
    "add X-Added one|two",
    "insert X-Inserted value",
    "change Subject s",
    "change Subject a subject that is much longer than the one that stood there before it came by a milter",
    "change X-Gone ",
    "change X-New made by a change",
    "rcpt new@dead.test",
    "rcpt newer@dead.test",
    "delrcpt b@dead.test",
    "from other@y.test",
    "from ",
    "body token 3",
    "body token 2000",
)

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
smtp unix - - n - - smtp
relay unix - - n - - smtp
local unix - n n - - local
error unix - - n - - error
retry unix - - n - - error
"""


def _body(dice: random.Random) -> str:
    kind = dice.randrange(6)
    if kind == 0:
        return ""
    if kind == 1:
        return "x" * dice.choice((997, 2047, 2048, 2049, 5000)) + "\r\nend\r\n"
    if kind == 2:
        return "".join(f"line {n} {'y' * dice.randrange(70)}\r\n" for n in range(dice.randrange(3000)))
    if kind == 3:
        return "..dot\r\n.\r\n\r\n\r\nFrom here\r\n>From there\r\n"
    if kind == 4:
        return "bödy ☃\r\n" * dice.randrange(1, 9)
    return "body\r\n"


def _send(real: PostfixSpool, dice: random.Random, number: int) -> None:
    recipients = dice.choice(
        (
            ["a@dead.test"],
            ["a@dead.test", "b@dead.test"],
            ["ok@good.test", "a@dead.test", "x@late.test"],
            ["all@alias.test", "b@dead.test"],
            ["y@bad.test", "a+ext@dead.test", '"quoted local"@dead.test'],
        )
    )
    sender = dice.choice(("s@x.test", "", "bounce+tag@x.test"))
    fields = [f"Subject: number {number}", "X-Gone: yes"]
    port = real.plain
    if dice.random() < 0.4:
        port = real.port
        fields += [f"X-Edit: {edit}" for edit in dice.sample(EDITS, dice.randrange(1, 6))]
    elif dice.random() < 0.4:
        fields += [f"X-Check: {check}" for check in dice.sample(CHECKS, dice.randrange(1, 3))]
    if dice.random() < 0.2:
        fields.append("X-Long: " + " ".join("word" for _ in range(400)))
    body = _body(dice)
    if "ö" in body or dice.random() < 0.3:
        fields.append("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit")
    mail: list[str] = ["BODY=8BITMIME"] if not body.isascii() else []
    rcpt: list[str] = []
    if dice.random() < 0.3:
        mail += ["RET=HDRS", f"ENVID=env+2B{number}"]
        rcpt += [dice.choice(("NOTIFY=NEVER", "NOTIFY=FAILURE,DELAY")), "ORCPT=rfc822;orig+2Bx@o.test"]
    if dice.random() < 0.1:
        mail.append("SMTPUTF8")
        recipients = ["ünï@dead.test", *recipients]
    if dice.random() < 0.02:
        recipients = [f"r{n}@dead.test" for n in range(1000)]
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.ehlo("client.test")
        if dice.random() < 0.2:
            client.docmd("XFORWARD", "NAME=origin.test ADDR=192.0.2.4 PORT=99 PROTO=ESMTP HELO=h.test SOURCE=REMOTE")
        client.command_encoding = "utf-8"
        client.mail(sender, mail)
        for recipient in recipients:
            client.rcpt(recipient, rcpt)
        code, text = client.data(("\r\n".join(fields) + "\r\n\r\n" + body).encode())
        assert code == 250, (code, text)


def _submit(real: PostfixSpool, dice: random.Random, number: int) -> None:
    known = (["-F", "Full Name"], ["-N", "failure"], ["-V", "envid"], ["-R", "hdrs"], ["-XV"])
    options = dice.sample(known, dice.randrange(5))
    words = [word for option in options for word in option]
    ran = real.run("sendmail", *words, "-f", "me@x.test", "a@dead.test", stdin=f"Subject: submitted {number}\n\nb\n")
    assert ran.status == 0, ran


@pytest.fixture(scope="module", params=["", "enable_long_queue_ids = yes"], ids=["short", "long"])
def filled(request: pytest.FixtureRequest) -> Iterator[PostfixSpool]:
    """A stopped Postfix with mail in its queue; some of it went through already."""
    dice = random.Random(3 if request.param else 2)
    with postfix_spool(request.param) as real:
        real.start()
        for number in range(MESSAGES):
            (_submit if dice.random() < 0.1 else _send)(real, dice, number)
        eventually(
            lambda: len(real.files("deferred", "hold")) > MESSAGES // 2 and real.settled(), "the queue at rest", 60
        )
        held = [path.name for path in real.files("deferred")][:5]
        real.run("postsuper", "-h", *held)
        real.stop()
        subprocess.run(["cp", "-a", str(real.spool), str(_pristine(real))], check=True)
        yield real


def _pristine(real: PostfixSpool) -> Path:
    """A copy of the spool as it was filled."""
    return real.folder / "pristine"


def _restore(real: PostfixSpool) -> None:
    """The spool as it was filled. Files get other inodes, and by that other names when Postfix starts."""
    shutil.rmtree(real.spool)
    subprocess.run(["cp", "-a", str(_pristine(real)), str(real.spool)], check=True)
    shutil.chown(real.folder / "mail.log", "postfix")  # postsuper tells of the new names before postlogd runs


def _route(real: PostfixSpool) -> str:
    """Everything to one server."""
    text = (real.folder / "etc" / "main.cf").read_text()
    head, found, rest = text.partition("transport_maps =")
    if not found:
        return text
    rest = rest[rest.index("header_checks") :]
    route = f"smtp:[127.0.0.1]:{real.dead}"
    return f"{head}{rest}default_transport = {route}\nrelay_transport = {route}\n"


def _postfix_delivers(real: PostfixSpool, sink: Capture) -> Counter[object]:
    (real.folder / "etc" / "main.cf").write_text(_route(real))
    real.start()
    real.run("postsuper", "-H", "ALL")
    real.run("postsuper", "-r", "00000")  # no such file: wakes nobody, checks that it is up
    real.run("postqueue", "-f")
    eventually(
        lambda: not real.files("incoming", "active", "deferred", "hold", "maildrop"), "Postfix's queue empty", 60
    )
    real.stop()
    return Counter(sink.got)


def test_what_we_deliver_is_what_postfix_delivers(filled: PostfixSpool) -> None:
    instance = _instance(filled)
    _restore(filled)
    with capture_server(filled.dead) as sink:
        expected = _postfix_delivers(filled, sink)
    with capture_server(filled.dead) as sink:
        imported = instance.run("posthouse", "import-queue", str(_pristine(filled)))
        assert imported.status == 0, imported
        try:
            instance.start()
            instance.do("postsuper", "-H", "ALL")
            instance.do("postqueue", "-f")
            eventually(lambda: "Mail queue is empty" in instance.run("mailq").out, "our queue empty", 60)
        finally:
            instance.kill()
        assert Counter(sink.got) - expected == Counter()
        assert expected - Counter(sink.got) == Counter()


def test_what_we_hand_back_is_what_postfix_would_have_delivered(filled: PostfixSpool) -> None:
    _restore(filled)
    with capture_server(filled.dead) as sink:
        expected = _postfix_delivers(filled, sink)
    _restore(filled)
    reasons = _reasons(filled)
    configuration = read_configuration(str(filled.folder / "etc"))
    import_queue(configuration, None, dry_run=False, remove=True, say=lambda _: None)
    assert not filled.files("incoming", "active", "deferred", "hold", "defer", "bounce", "trace")
    export = Export(configuration, lambda _: None)
    export.run()
    assert (export.left, export.written) == (0, len(filled.files("incoming", "deferred", "hold")))
    assert _reasons(filled) == reasons
    with capture_server(filled.dead) as sink:
        found = _postfix_delivers(filled, sink)
    assert found - expected == Counter()
    assert expected - found == Counter()


def test_postfix_sends_the_notices_that_we_owe() -> None:
    with postfix_spool() as real:
        real.start()
        real.stop()
        (real.folder / "etc" / "main.cf").write_text(_route(real))
        wish = record("A", "notify_flags=2")
        data = queue_file(b"Subject: t\r\n\r\nb\r\n", done=("lost@x.test",), recipients=("late@x.test",))
        put(real.spool, "hold", "4E2F623E290", data)
        failed = defer_log("lost@x.test", "no such user").replace(b"4.4.1", b"5.1.1").replace(b"delayed", b"failed")
        put(real.spool, "bounce", "4E2F623E290", failed, 0o600)
        data = queue_file(b"Subject: t\r\n\r\nb\r\n", done=("there@x.test",), recipients=(), extra=(wish,))
        put(real.spool, "hold", "4E2F623E291", data)
        sent = failed.replace(b"lost", b"there").replace(b"5.1.1", b"2.0.0").replace(b"failed", b"relayed")
        put(real.spool, "trace", "4E2F623E291", sent, 0o600)
        for path in real.files("hold", "bounce", "trace"):
            shutil.chown(path, "postfix")
        configuration = read_configuration(str(real.folder / "etc"))
        import_queue(configuration, None, dry_run=False, remove=True, say=lambda _: None)
        export = Export(configuration, lambda _: None)
        export.run()
        assert (export.written, export.left) == (2, 0)
        with capture_server(real.dead) as sink:
            found = _postfix_delivers(real, sink)
        senders = Counter((one.sender.split()[0], one.recipient.split()[0]) for one in found)
        assert senders == {(b"<s@x.test>", b"<late@x.test>"): 1, (b"<>", b"<s@x.test>"): 2}
        notices = b"".join(one.content for one in found if one.sender.startswith(b"<>"))
        assert b"lost@x.test" in notices and b"there@x.test" in notices, notices


def _reasons(real: PostfixSpool) -> Counter[bytes]:
    """What Postfix's own mailq says of every message, but for its id."""
    (real.folder / "etc" / "main.cf").write_text(_route(real))
    rows = [json.loads(line) for line in real.run("postqueue", "-j").out.splitlines()]
    for row in rows:
        del row["queue_id"]
        row["recipients"].sort(key=str)
    return Counter(json.dumps(row, sort_keys=True).encode() for row in rows)


def _instance(real: PostfixSpool) -> Instance:
    folder = real.folder / "ours"
    (folder / "etc").mkdir(parents=True)
    text = _route(real).replace(f"{real.folder}/", f"{folder}/")
    (folder / "etc" / "main.cf").write_text(text + "maillog_file_prefixes = /tmp\n")
    (folder / "etc" / "header_checks").write_text("")
    (folder / "etc" / "master.cf").write_text(MASTER_CF.format(port=free_port()))
    return Instance(folder / "etc", folder / "mail.log", folder / "spool")
