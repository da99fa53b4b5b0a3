"""Addresses in header fields, rewritten by the real Postfix and by ours: `./dev differential addresses [SEED] [COUNT]`.

Both get the same messages by SMTP, under the same configuration, and deliver them to a server that remembers.
"""

import smtplib
from collections.abc import Iterator

import pytest

from tests.interop import address_grammar as grammar
from tests.interop.differential import generated, scarce, tried
from tests.interop.main_cf_grammar import Made
from tests.interop.pair import Side, pair
from tests.system.machine import eventually

MAIN_CF = """\
transport_maps = inline:{ other.test=smtp:[127.0.0.1]:@sink@ }
local_header_rewrite_clients = static:all
smtpd_client_connection_count_limit = 0
header_size_limit = 102400
"""

MAPS = """\
canonical_maps = inline:{ joe=new, ann@example.com=ann.x@masq.test, @old.test=@example.com, root@pair.test=r,
    owner-x=quoted, { a.b = "a b"@example.com }, postmaster=postmaster@host.sub.pair.test }
"""

CONFIGURATIONS = {
    "default": "",
    "no dot": "append_dot_mydomain = yes\n",
    "canonical": MAPS,
    "classes": MAPS
    + "canonical_classes = header_recipient, envelope_sender\nsender_canonical_classes = header_sender\n"
    "sender_canonical_maps = inline:{ joe=sender, @a.b.c=@sender.test }\n"
    "recipient_canonical_maps = inline:{ joe=recipient, @a.b.c=@recipient.test }\n"
    "recipient_canonical_classes = header_recipient\n",
    "masquerade": "masquerade_domains = !mail.masq.test masq.test pair.test\n"
    "masquerade_exceptions = root, postmaster\n",
    "masquerade all": "masquerade_domains = $mydomain masq.test\n"
    "masquerade_classes = header_sender, header_recipient, envelope_sender, envelope_recipient\n" + MAPS,
    "old hacks": "swap_bangpath = no\nallow_percent_hack = no\nappend_dot_mydomain = no\n",
    "no origin": "append_at_myorigin = no\n" + MAPS,
    "remote": "local_header_rewrite_clients =\nremote_header_rewrite_domain = domain.invalid\n" + MAPS,
    "generic": "smtp_generic_maps = inline:{ joe@pair.test=out@generic.test, @old.test=gone@generic.test }\n",
}


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    """Both."""
    with pair(MAIN_CF) as both:
        yield both


def sent(side: Side, number: int, fields: list[bytes]) -> list[str]:
    """The header as it arrives."""
    with smtplib.SMTP("127.0.0.1", side.smtp, local_hostname="client.test", timeout=60) as client:
        client.ehlo()
        client.mail("sender@client.test", ["BODY=8BITMIME"])
        client.rcpt("to@other.test")
        # Not by smtplib's own way, which mends line ends.
        client.putcmd("data")
        code, reply = client.getreply()
        assert code == 354, (side.name, reply, side.text()[-2000:])
        client.send(b"X-Row: %d.\r\n" % number + b"\r\n".join(fields) + b"\r\n\r\nbody\r\n.\r\n")
        code, reply = client.getreply()
    if code != 250:
        return [f"{code} {side.calm(reply.decode())}"]
    mark = b"X-Row: %d.\r\n" % number
    got = eventually(
        lambda: next((one for one in side.capture.got if one.content.find(mark) >= 0), None),
        f"message {number} of {side.name}: {side.text()[-2000:]}",
        60,
    )
    header = got.content.partition(b"\r\n\r\n")[0]
    return side.calm(header.decode("utf-8", "surrogateescape")).split("\r\n")


NUMBERS = iter(range(1, 10**9))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_headers_are_rewritten_alike(sides: tuple[Side, Side], name: str) -> None:
    for side in sides:
        path = side.folder / "etc" / "main.cf"
        text = path.read_text().partition("# own\n")[0] + "# own\n" + side.fill(CONFIGURATIONS[name])
        path.write_text(text)
        side.reload()

    @generated(grammar.headers(), 0.004, 2)
    def check(made: list[Made]) -> None:
        for one in made:
            tried("header field", {*one.rules, name})
        number = next(NUMBERS)
        fields = [one.text.encode("utf-8", "surrogateescape") for one in made]
        theirs, ours = (sent(side, number, fields) for side in sides)
        lines = [f"Postfix: {line!r}" for line in theirs if line not in ours]
        lines += [f"ours:    {line!r}" for line in ours if line not in theirs]
        assert theirs == ours, "\n".join([name, *lines])

    check()


def test_every_rule_was_tried_often_enough() -> None:
    rules = (*grammar.KINDS, *(f"field {name}" for name in grammar.FIELDS))
    assert scarce("header field", rules) == []
