"""Addresses beside Postfix: canonical, masquerading, virtual aliases, copies, delimiters, generic and relocated maps,
each under a configuration of its own; what reaches the next server, envelope and header, must be the same."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop.pair import MAIN_CF, Side, pair

CONFIGURATIONS = {
    "canonical": """
canonical_maps = inline:{ {joe@pair.test=Joe.Long@canon.test} {dom.test=dd@x.test} {@wild.test=@wild2.test}
    {ext=extended@pair.test} {loop1@l.test=loop2@l.test} {loop2@l.test=loop1@l.test} {self@l.test=self@l.test}
    {chain1@l.test=chain2@l.test} {chain2@l.test=chain3@l.test} {multi@l.test=m1@l.test,m2@l.test}
    {plus+a@l.test=exact@l.test} {plus@l.test=base@l.test} {quote.me@l.test="q u"@l.test} {local1=loc1@pair.test}
    {kept+ext@l.test=kept2+other@l.test} {UPPER@l.test=low@l.test} {@cc.test=all@cc2.test} }
sender_canonical_maps = inline:{ {s1@l.test=s2@l.test} {both@l.test=sboth@l.test} {@smask.test=@smask2.test} }
recipient_canonical_maps = inline:{ {r1@l.test=r2@l.test} {both@l.test=rboth@l.test} }
""",
    "canonical classes": """
canonical_maps = inline:{ {joe@l.test=canon@l.test} }
canonical_classes = envelope_sender, header_recipient
sender_canonical_maps = inline:{ {s1@l.test=s2@l.test} }
sender_canonical_classes = header_sender
recipient_canonical_maps = inline:{ {r1@l.test=r2@l.test} }
recipient_canonical_classes = envelope_recipient
propagate_unmatched_extensions =
""",
    "masquerade": """
masquerade_domains = pair.test !keep.masq.test masq.test dot.test
masquerade_exceptions = root, Admin
""",
    "masquerade classes": """
masquerade_domains = $mydomain masq.test
masquerade_classes = envelope_recipient, header_recipient
canonical_maps = inline:{ {joe@h.masq.test=new@g.masq.test} }
""",
    "virtual": """
virtual_alias_domains = va.test
virtual_alias_maps = inline:{ {a@va.test=one@l.test,two@l.test} {b@va.test=a@va.test} {ext@va.test=extd@l.test}
    {@va.test=catch@l.test} {self@l.test=self@l.test,other@l.test} {cyc1@l.test=cyc2@l.test} {cyc2@l.test=cyc1@l.test}
    {local=localv@l.test} {@whole.test=@whole2.test} {x+y@l.test=xy@l.test} {x@l.test=xx@l.test}
    {dup@l.test=one@l.test,one@l.test,ONE@l.test} {"q r"@l.test=qr@l.test} {spec@l.test="s p"@l.test} }
always_bcc = bcc@l.test
sender_bcc_maps = inline:{ {s1@l.test=sbcc@l.test} {@sdom.test=sdom@l.test} {sx@l.test=sxb@l.test} }
recipient_bcc_maps = inline:{ {one@l.test=rbcc@l.test} {@rdom.test=rdom@l.test} {rb@l.test=rb1@l.test, rb2@l.test} }
""",
    "delimiters": """
recipient_delimiter = +-_
propagate_unmatched_extensions = canonical, virtual, alias
virtual_alias_maps = inline:{ {base@l.test=vb@l.test} {base2-x@l.test=vx@l.test} {@ww.test=cat@l.test}}
canonical_maps = inline:{ {cb@l.test=ccb@l.test} }
""",
    "generic": """
smtp_generic_maps = inline:{ {joe@l.test=gen@g.test} {@gd.test=@gd2.test} {ext@l.test=e2@g.test} {r1@l.test=gr@g.test}
    {host.pair.test=bare@g.test} {local=lg@g.test} {@gall.test=one@g.test} {chain@l.test=joe@l.test}}
propagate_unmatched_extensions = generic
""",
}

EVERYWHERE = """
transport_maps = regexp:@folder@/etc/tmap
local_recipient_maps =
smtpd_reject_unlisted_recipient = no
append_dot_mydomain = yes
"""

ADDRESSES = (
    *(
        "joe@pair.test",
        "joe+x@pair.test",
        "joe@dom.test",
        "u@wild.test",
        "u+e@wild.test",
        "ext",
        "ext+1",
        "loop1@l.test",
    ),
    *("self@l.test", "chain1@l.test", "chain1+q@l.test", "multi@l.test", "plus+a@l.test", "plus+b@l.test", "local1"),
    *("quote.me@l.test", "quote.me+z@l.test", "local1@host", "kept+ext@l.test", "kept+ext+2@l.test", "upper@L.TEST"),
    *("any@cc.test", "any+q@cc.test", "s1@l.test", "both@l.test", "r1@l.test", "u@smask.test", "joe@l.test", "u@sub"),
    *("JOE+Foo@l.test", "u@h.pair.test", "root@h.pair.test", "admin@a.b.masq.test", "u@a.keep.masq.test"),
    *(
        "u@keep.masq.test",
        "u@xmasq.test",
        "u@masq.test",
        "joe@h.masq.test",
        "u@deep.dot.test",
        "a@va.test",
        "b@va.test",
    ),
    *(
        "ext+z@va.test",
        "zz@va.test",
        "zz+e@va.test",
        "cyc1@l.test",
        "local",
        "local@pair.test",
        "local+q",
        "u@whole.test",
    ),
    *("u+r@whole.test", "x+y@l.test", "x+z@l.test", "dup@l.test", '"q r"@l.test', "spec@l.test", "spec+t@l.test"),
    *("one@l.test", "u@rdom.test", "rb@l.test", "sx+e@l.test", "u@sdom.test", "base+1@l.test", "base-1@l.test"),
    *("base_1@l.test", "base2-x@l.test", "cb-q+r@l.test", "cb_@l.test", "owner-base@l.test", "base-request@l.test"),
    *("-base@l.test", "u-e@ww.test", "ext@l.test", "ext+w@l.test", "u@gd.test", "u@gall.test", "chain@l.test"),
    *(
        "u@host.pair.test",
        "u%h@pair.test",
        "u%h",
        "h!u",
        "a!b@l.test",
        '"u@x"@l.test',
        "u@[127.0.0.1]",
        "U.Case@L.Test",
    ),
    *("u@l.test.", "postmaster", "double-bounce@pair.test"),
)

SENDER_FIELDS = ("Cc", "Reply-To", "Sender", "Errors-To", "Return-Receipt-To", "Disposition-Notification-To", "X-Other")
RECIPIENT_FIELDS = ("Resent-To", "Apparently-To", "Mail-Followup-To")


def _letter(sender: str, recipient: str, number: int) -> bytes:
    lines = [
        f"From: Name <{sender}>",
        f'To: {recipient}, "Q, Q" <{sender}>, <@route.test:{sender}>',
        f"Subject: {number}.",
    ]
    lines += [f"{name}: {sender}" for name in SENDER_FIELDS] + [f"{name}: {recipient}" for name in RECIPIENT_FIELDS]
    return "".join(f"{line}\r\n" for line in [*lines, "", "body", "."]).encode()


def _say(side: Side, commands: list[bytes]) -> list[str]:
    """The replies to a session's commands."""
    replies = []
    with socket.create_connection(("127.0.0.1", side.smtp), timeout=60) as connection:
        file = connection.makefile("rb")
        for command in [b"", *commands]:
            connection.sendall(command)
            while (line := file.readline().decode("latin-1"))[3:4] == "-":
                pass
            replies.append(side.calm(line.rstrip()))
            if replies[-1][:1] in "45":
                break
    return replies


Row = tuple[list[str], list[tuple[str, str, str]]]


def _deliver(side: Side) -> tuple[list[Row], set[str]]:
    """Each address as sender and as recipient, and cleanup's warnings."""
    rows = [(address, "plain@l.test") for address in ADDRESSES] + [("plain@l.test", address) for address in ADDRESSES]
    said = []
    for number, (sender, recipient) in enumerate(rows):
        envelope = [b"EHLO c\r\n", f"MAIL FROM:<{sender}>\r\n".encode(), f"RCPT TO:<{recipient}>\r\n".encode()]
        said.append(_say(side, [*envelope, b"DATA\r\n", _letter(sender, recipient, number), b"QUIT\r\n"]))
    side.settled(60)
    got: dict[bytes, list[tuple[str, str, str]]] = {}
    for one in side.capture.got:
        mark = one.content.partition(b"Subject: ")[2].partition(b".")[0]
        text = side.calm(one.content.decode("latin-1")).replace("\r", "")
        got.setdefault(mark, []).append((one.recipient.decode("latin-1"), one.sender.decode("latin-1"), text))
    found = [(replies, sorted(got.get(b"%d" % number, []))) for number, replies in enumerate(said)]
    return found, set(side.lines("postfix/cleanup.*warning: ID|postfix/error.*to="))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_addresses_become_what_postfix_makes_of_them(name: str) -> None:
    delimiter = "" if name == "delimiters" else "recipient_delimiter = +\n"
    main_cf = CONFIGURATIONS[name] + EVERYWHERE + delimiter
    files = {"etc/tmap": "/./ smtp:[127.0.0.1]:@sink@\n"}
    with pair(main_cf, files=files, base=MAIN_CF) as sides, ThreadPoolExecutor(2) as threads:
        theirs, ours = threads.map(_deliver, sides)
    different = [(ours[0][n], theirs[0][n]) for n in range(len(theirs[0])) if ours[0][n] != theirs[0][n]]
    assert different == []
    assert ours[1] == theirs[1]


RELOCATED = """
relocated_maps = inline:{ {gone@l.test=new@place.test} {@moved.test=elsewhere} {gone2@pair.test=at home} }
transport_maps = regexp:@folder@/etc/tmap
local_recipient_maps =
recipient_delimiter = +
"""


def _relocated(side: Side) -> list[str]:
    for address in ("gone@l.test", "gone+x@l.test", "u@moved.test", "gone2", "gone2@pair.test", "here@l.test"):
        side.do("sendmail", "-f", "<>", address, stdin="Subject: x\n\nbody\n")
    side.settled()
    return sorted(side.lines("postfix/(error|smtp).*to="))


def test_who_has_moved_bounces_in_the_same_words() -> None:
    files = {"etc/tmap": "/./ smtp:[127.0.0.1]:@sink@\n"}
    with pair(RELOCATED, files=files) as sides, ThreadPoolExecutor(2) as threads:
        theirs, ours = threads.map(_relocated, sides)
    assert ours == theirs
