"""Mail goes from us to the real Postfix and back, over TLS."""

import mailbox
import smtplib
from pathlib import Path

from tests.interop.peers import Ours, Real
from tests.system.machine import eventually


def fetched(folder: Path, subject: str) -> mailbox.MaildirMessage | None:
    """The message with this subject in a Maildir."""
    if not (folder / "cur").exists():
        return None
    found = mailbox.Maildir(folder, factory=None, create=False)
    return next((message for message in found if message["Subject"] == subject), None)


def test_from_us_to_postfix(ours: Ours, real: Real) -> None:
    ours.instance.do("sendmail", "-f", "ann@virt.test", "ann@real.test", stdin="Subject: to Postfix\n\n.dots\n..\nx\n")
    message = eventually(lambda: fetched(real.folder / "boxes" / "ann", "to Postfix"), real.text()[-3000:])
    assert message.get_payload() == ".dots\n..\nx\n"
    ours.instance.logged(
        r"to=<ann@real\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*status=sent \(250 2\.0\.0 Ok: queued as"
    )
    # Opportunistic TLS: it was offered, so it was used.
    assert "with ESMTPS id" in message["Received"]


def test_from_postfix_to_us(ours: Ours, real: Real) -> None:
    ran = real.run("sendmail", "-f", "root@real.test", "ann@virt.test", stdin="Subject: from Postfix\n\n.dots\n..\nx\n")
    assert ran.status == 0, ran
    message = eventually(lambda: fetched(ours.folder / "boxes" / "ann", "from Postfix"), real.text()[-3000:])
    assert message.get_payload() == ".dots\n..\nx\n"
    assert "with ESMTPS id" in message["Received"]


def test_postfix_relays_a_large_message_to_us_and_a_refusal_comes_back(ours: Ours, real: Real) -> None:
    line = "0123456789" * 7 + "\r\n"
    with smtplib.SMTP("127.0.0.1", real.port, "client.test", timeout=60) as session:
        session.sendmail("ann@real.test", ["ann@virt.test"], "Subject: large\r\n\r\n" + line * 20000)
        session.sendmail("ann@real.test", ["nobody@virt.test"], "Subject: unknown\r\n\r\nx\r\n")
    message = eventually(lambda: fetched(ours.folder / "boxes" / "ann", "large"), real.text()[-3000:])
    assert len(message.get_payload()) == 20000 * 71
    bounce = eventually(
        lambda: fetched(real.folder / "boxes" / "ann", "Undelivered Mail Returned to Sender"), real.text()[-3000:]
    )
    assert "User unknown in virtual mailbox table" in " ".join(bounce.as_string().split())


def test_many_recipients_and_a_notice_of_success(ours: Ours, real: Real) -> None:
    text = "Subject: with notice\n\nx\n"
    ours.instance.do("sendmail", "-f", "ann@virt.test", "-N", "success", "-V", "env1", "ann@real.test", stdin=text)
    # Postfix speaks DSN, so it makes the notice and sends it to us.
    notice = eventually(
        lambda: fetched(ours.folder / "boxes" / "ann", "Successful Mail Delivery Report"), real.text()[-3000:]
    )
    assert "Original-Envelope-Id: env1" in notice.as_string()
    assert "Reporting-MTA: dns; real.test" in notice.as_string()
