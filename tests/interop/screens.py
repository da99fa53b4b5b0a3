"""What postscreen's clients say, to which listener, and how two logs are compared.

A script's steps: bytes go out; READ waits for one whole reply, END for the end of the connection; a number waits so
many seconds; TLS shakes hands. Each script has a client address of its own, by which its log lines are found.
"""

import random
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

READ, END, TLS = "<read>", "<end>", "<tls>"
PATIENCE = 60.0

Step = bytes | str | float

MAIL: tuple[Step, ...] = (b"MAIL FROM:<a@b.test>\r\n", READ, b"RCPT TO:<x@mx.test>\r\n", READ)
BYE: tuple[Step, ...] = (b"QUIT\r\n", READ, END)

LISTENERS: dict[str, tuple[str, ...]] = {
    "default": ("postscreen_greet_wait=1s",),
    "patient": ("postscreen_greet_wait=6s",),
    "enforce": (
        "postscreen_greet_wait=3s",
        "postscreen_dnsbl_sites=bl1.test*2,bl2.test=127.0.0.[2..4]*1,wl.test*-3",
        "postscreen_dnsbl_threshold=2",
        "postscreen_dnsbl_action=enforce",
        "postscreen_greet_action=enforce",
    ),
    "drop": (
        "postscreen_greet_wait=3s",
        "postscreen_dnsbl_sites=bl1.test*2,bl2.test=127.0.0.[2..4]*1,wl.test*-3",
        "postscreen_dnsbl_threshold=2",
        "postscreen_dnsbl_action=drop",
        "postscreen_greet_action=drop",
        "postscreen_dnsbl_allowlist_threshold=-2",
    ),
    "deep": (
        "postscreen_greet_wait=1s",
        "postscreen_pipelining_enable=yes",
        "postscreen_non_smtp_command_enable=yes",
        "postscreen_bare_newline_enable=yes",
        "postscreen_bare_newline_action=enforce",
        "postscreen_tls_security_level=may",
    ),
    "lenient": (
        "postscreen_greet_wait=1s",
        "postscreen_pipelining_enable=yes",
        "postscreen_pipelining_action=ignore",
        "postscreen_non_smtp_command_enable=yes",
        "postscreen_non_smtp_command_action=ignore",
        "postscreen_bare_newline_enable=yes",
        "postscreen_bare_newline_action=ignore",
        "postscreen_command_time_limit=2s",
        "postscreen_forbidden_commands=FOO",
        "soft_bounce=yes",
    ),
    "strict": (
        "postscreen_greet_wait=1s",
        "postscreen_pipelining_enable=yes",
        "postscreen_pipelining_action=drop",
        "postscreen_bare_newline_enable=yes",
        "postscreen_bare_newline_action=drop",
        "postscreen_enforce_tls=yes",
        "postscreen_command_count_limit=3",
    ),
    "one-deep": ("postscreen_greet_wait=1s", "postscreen_pipelining_enable=yes"),
    "access": (
        "postscreen_greet_wait=1s",
        "postscreen_access_list=permit_mynetworks,cidr:{folder}/access.cidr,cidr:{folder}/more.cidr",
        "postscreen_denylist_action=enforce",
        "postscreen_command_filter=pcre:{folder}/filter.pcre",
        "postscreen_discard_ehlo_keyword_address_maps=cidr:{folder}/discard.cidr",
        "postscreen_helo_required=yes",
        "postscreen_disable_vrfy_command=yes",
        "{{ postscreen_reject_footer = \\c. See $server_name, $client_address, $client_name }}",
        "postscreen_reject_footer_maps=pcre:{folder}/footer.pcre",
    ),
    "access-drop": (
        "postscreen_greet_wait=3s",
        "postscreen_access_list=cidr:{folder}/access.cidr",
        "postscreen_blacklist_action=drop",
        "postscreen_whitelist_interfaces=!127.0.0.1,static:all",
        "postscreen_dnsbl_sites=bl1.test",
        "postscreen_dnsbl_reply_map=texthash:{folder}/reply",
        "postscreen_dnsbl_action=enforce",
        "respectful_logging=no",
    ),
    "no-banner": (
        "postscreen_greet_banner=",
        "postscreen_dnsbl_sites=bl2.test,bl1.test",
        "postscreen_dnsbl_threshold=3",
    ),
    "slow-lists": (
        "postscreen_greet_wait=2s",
        "postscreen_dnsbl_sites=slow.test,broken.test,bl2.test",
        "postscreen_dnsbl_threshold=3",
        "postscreen_dnsbl_timeout=4s",
    ),
    "silent-lists": ("postscreen_greet_wait=1s", "postscreen_dnsbl_sites=slow.test", "postscreen_dnsbl_timeout=2s"),
    "broken-lists": ("postscreen_greet_wait=5s", "postscreen_dnsbl_sites=broken.test,wl.test*-1"),
    "no-lists": ("postscreen_greet_wait=1s", "postscreen_dnsbl_sites=broken.test"),
    "proxied": ("postscreen_greet_wait=1s", "postscreen_upstream_proxy_protocol=haproxy"),
    "no-server": ("postscreen_greet_wait=1s", "smtpd_service_name=nosuch"),
    "other-server": ("postscreen_greet_wait=1s", "smtpd_service_name=other"),
    "anything": (
        "postscreen_greet_wait=1s",
        "postscreen_access_list=static:reject",
        "postscreen_denylist_action=enforce",
        "postscreen_pre_queue_limit=500",
        "postscreen_non_smtp_command_action=ignore",
    ),
    "counted": ("postscreen_greet_wait=3s", "postscreen_client_connection_count_limit=2"),
    "busy": ("postscreen_greet_wait=4s", "postscreen_pre_queue_limit=10"),
}
"""By name: the -o settings of each postscreen listener."""

FILES = {
    "access.cidr": (
        "127.0.1.1 permit\n127.0.1.2 reject\n127.0.1.3 dunno\n127.0.1.4 OK\n127.0.1.5 permit_mynetworks, reject\n"
        "127.0.1.6 Reject\n127.0.1.8 reject\n"
    ),
    "more.cidr": "127.0.1.0/24 reject\n",
    "filter.pcre": "/^XYZZY(.*)/ NOOP$1\n",
    "discard.cidr": (
        "127.0.1.2 chunking dsn enhancedstatuscodes xforward xclient vrfy verp starttls size pipelining etrn auth\n"
        "127.0.1.6 silent-discard, 8bitmime\n"
    ),
    "footer.pcre": "/^501/ another footer for $$client_address\n",
    "reply": "bl1.test hidden.example\n",
}

ZONES = """\
9.2.0.127.bl1.test A 127.0.0.2
9.2.0.127.bl2.test 120 A 127.0.0.4
12.2.0.127.bl1.test A 127.0.0.2
13.2.0.127.bl1.test A 127.0.0.2
14.2.0.127.bl2.test 120 A 127.0.0.4
16.2.0.127.wl.test 600 A 127.0.10.1
15.2.0.127.wl.test 90 A 127.0.10.1
10.2.0.127.bl2.test 120 A 127.0.0.10
11.2.0.127.wl.test 90 A 127.0.10.1
slow.test SILENT
broken.test SERVFAIL
bl1.test A 127.0.0.1
bl2.test A 127.0.0.1
wl.test A 127.0.0.1
"""


@dataclass(frozen=True, slots=True)
class Script:
    """One client."""

    listener: str
    address: str
    steps: tuple[Step, ...]
    cached: bool = True
    """Whether what the cache keeps of it is compared, too."""


DNSBL_TALK: tuple[Step, ...] = (READ, b"EHLO c.test\r\n", READ, *MAIL, b"RCPT TO:<y@mx.test>\r\n", READ, *BYE)

SCRIPTS: dict[str, Script] = {
    "a good client": Script("default", "127.0.3.1", (READ, b"EHLO c.test\r\n", READ, *BYE)),
    "it talks too early, and that is ignored": Script("default", "127.0.3.2", (b"EHLO c\r\n", READ, READ, *BYE)),
    "it is gone before the greeting": Script("patient", "127.0.3.3", (2.0,)),
    "of mynetworks": Script("default", "127.0.0.1", (READ, *BYE)),
    "listed": Script("enforce", "127.0.2.9", DNSBL_TALK),
    "listed, with an answer that does not count": Script("enforce", "127.0.2.10", (READ, *BYE)),
    "on the list of the good": Script("enforce", "127.0.2.11", (READ, *BYE)),
    "too early, enforced": Script("enforce", "127.0.3.4", (b"EHLO c.test\r\n", READ, *MAIL, b"FOO\r\n", READ, *BYE)),
    "too early, and ahead": Script(
        "enforce", "127.0.3.5", (b"HELO c\nMAIL FROM:<a>\r\nGET / HTTP\r\nQUIT\r\n", READ, READ, READ, END)
    ),
    "dropped for its score": Script("drop", "127.0.2.12", (READ, END)),
    "dropped for talking": Script("drop", "127.0.3.6", (b"EHLO c\r\n", READ, END)),
    "spared by its score": Script("drop", "127.0.2.15", (READ, *BYE)),
    "deep tests": Script("deep", "127.0.3.7", (READ, b"HELO c.test\r\n", READ, *MAIL, *BYE)),
    "deep tests unfinished": Script("deep", "127.0.3.8", (READ, b"EHLO c.test\r\n", READ, *BYE)),
    "every command": Script(
        "deep",
        "127.0.3.9",
        (
            *(READ, b"RCPT TO:<x>\r\n", READ, b"EHLO\r\n", READ, b"HELO\r\n", READ, b"EHLO cc dd\r\n", READ),
            *(b"MAIL\r\n", READ, b"MAIL FROM:<a@b> SIZE=1\r\n", READ, b"MAIL FROM:<a@b>\r\n", READ),
            *(b"RCPT foo\r\n", READ, b"RCPT TO: <x@y> FOO\r\n", READ, b"VRFY\r\n", READ, b"VRFY x\r\n", READ),
            *(b"ETRN\r\n", READ, b"ETRN x\r\n", READ, b"NOOP x\r\n", READ, b"RSET\r\n", READ, b"AUTH PLAIN x\r\n"),
            *(READ, b"XCLIENT x\r\n", READ, *BYE),
        ),
    ),
    "paths": Script(
        "deep",
        "127.0.3.10",
        (
            *(READ, b"MAIL FROM: <a b>\r\n", READ, b'RCPT TO:<"q q"@b>\r\n', READ, b"RCPT TO:<>\r\n", READ),
            *(b"RCPT TO:<@x,@y:a@b> X=y\r\n", READ, b"RCPT TO:x@y\r\n", READ, b"HELO x\x01y<z>\r\n", READ),
            *(b"RCPT TO:<z>\r\n", READ, b"MAIL FROM:<>\r\n", READ, b"RCPT TO:<z>\r\n", READ, *BYE),
        ),
    ),
    "HTTP": Script("deep", "127.0.3.11", (READ, b"GET / HTTP/1.0\r\n", READ, END)),
    "a header field": Script("deep", "127.0.3.12", (READ, b"EHLO c\r\n", READ, b"Subject: foo\r\n", READ, END)),
    "bare newlines": Script("deep", "127.0.3.13", (READ, b"EHLO c\n", READ, b"NOOP\n", READ, *MAIL, *BYE)),
    "commands ahead": Script(
        "deep",
        "127.0.3.14",
        (READ, b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@mx.test>\r\nQUIT\r\n", READ, READ, READ, READ, END),
    ),
    "DATA at once": Script("deep", "127.0.3.15", (READ, b"DATA\r\n", READ, END)),
    "DATA with words": Script("deep", "127.0.3.16", (READ, b"DATA x\r\n", READ, END)),
    "DATA after MAIL": Script("deep", "127.0.3.17", (READ, *MAIL, b"DATA\r\n", READ, END)),
    "BDAT": Script("deep", "127.0.3.18", (READ, b"BDAT 3\r\n", READ, END)),
    "BDAT without words": Script("deep", "127.0.3.19", (READ, *MAIL, b"BDAT\r\n", READ, END)),
    "BDAT after MAIL": Script("deep", "127.0.3.20", (READ, *MAIL, b"BDAT 0 LAST\r\n", READ, END)),
    "an endless line": Script("deep", "127.0.3.21", (READ, b"NOOP " + b"x" * 2500, READ, END)),
    "too many commands": Script("deep", "127.0.3.22", (READ, *(b"NOOP\r\n", READ) * 20, b"RSET\r\n", READ, END)),
    "nothing in a line": Script(
        "deep", "127.0.3.23", (READ, b"\r\n", READ, b"  \r\n", READ, b"  noop\r\n", READ, *BYE)
    ),
    "gone in the middle": Script("deep", "127.0.3.24", (READ, b"EHLO c\r\n", READ)),
    "TLS": Script(
        "deep",
        "127.0.3.25",
        (
            *(
                READ,
                b"EHLO c\r\n",
                READ,
                b"MAIL FROM:<b>\r\n",
                READ,
                b"STARTTLS x\r\n",
                READ,
                b"STARTTLS\r\n",
                READ,
                TLS,
            ),
            *(b"RCPT TO:<a>\r\n", READ, *MAIL, b"EHLO d\r\n", READ, b"STARTTLS\r\n", READ, *MAIL, *BYE),
        ),
    ),
    "all ignored": Script(
        "lenient",
        "127.0.3.26",
        (
            *(
                READ,
                b"HELO c\r\nMAIL FROM:<a>\r\n",
                READ,
                READ,
                b"FOO a\r\n",
                READ,
                b"NOOP\n",
                READ,
                b"RCPT TO:<x>\r\n",
            ),
            *(READ, b"Hdr: x\r\nNOOP\r\n", READ, READ, *BYE),
        ),
    ),
    "all at once": Script("lenient", "127.0.3.27", (READ, b"FOO x\nNOOP\r\n", READ, READ, *BYE)),
    "silence": Script("lenient", "127.0.3.28", (READ, READ, END)),
    "silence in a command": Script("lenient", "127.0.3.29", (READ, b"EHLO c\r\n", READ, b"MA", READ, END)),
    "another forbidden word": Script(
        "lenient", "127.0.3.30", (READ, b"GET x\r\n", READ, b"FOO x\r\n", READ, *MAIL, *BYE)
    ),
    "no TLS where it is required": Script(
        "strict", "127.0.3.31", (READ, b"EHLO c\r\n", READ, *MAIL, b"RSET\r\n", READ, END)
    ),
    "dropped for a newline": Script("strict", "127.0.3.32", (READ, b"NOOP\n", READ, END)),
    "dropped for commands ahead": Script("strict", "127.0.3.33", (READ, b"NOOP\r\nNOOP\r\n", READ, END)),
    "one deep test": Script("one-deep", "127.0.3.41", (READ, b"HELO c\r\n", READ, *MAIL, *BYE)),
    "one deep test, and no recipient": Script("one-deep", "127.0.3.42", (READ, b"HELO c\r\n", READ, *BYE)),
    "one deep test, and a bare newline": Script("one-deep", "127.0.3.43", (READ, b"HELO c\n", READ, *MAIL, *BYE)),
    "one deep test, and HTTP": Script("one-deep", "127.0.3.44", (READ, b"GET /\r\n", READ, *MAIL, *BYE)),
    "permitted": Script("access", "127.0.1.1", (READ, *BYE)),
    "refused": Script(
        "access",
        "127.0.1.2",
        (
            *(READ, *MAIL, b"XYZZY foo\r\n", READ, b"VRFY\r\n", READ, b"VRFY x\r\n", READ, b"ETRN x\r\n", READ),
            *(b"EHLO c\r\n", READ, *MAIL, *BYE),
        ),
    ),
    "dunno leaves it to the next table": Script("access", "127.0.1.3", (READ, *BYE)),
    "an unknown word ends the list": Script("access", "127.0.1.4", (READ, *BYE)),
    "a list in a value": Script("access", "127.0.1.5", (READ, b"HELO c\r\n", READ, *MAIL, b"DATA\r\n", READ, END)),
    "silent discard": Script("access", "127.0.1.6", (READ, b"EHLO c\r\n", READ, *BYE)),
    "refused by the next table": Script("access", "127.0.1.7", (READ, b"HELO\r\n", READ, *BYE)),
    "refused and dropped": Script("access-drop", "127.0.1.8", (READ, END)),
    "no pass here": Script("access-drop", "127.0.3.34", (READ, b"HELO c\r\n", READ, *MAIL, *BYE)),
    "no pass here, and a bare newline": Script("access-drop", "127.0.3.45", (READ, b"GET x\nNOOP\n", READ, END)),
    "no pass here, and listed": Script("access-drop", "127.0.2.13", (READ, b"HELO c\r\n", READ, *MAIL, *BYE)),
    "without a banner": Script("no-banner", "127.0.3.35", (READ, *BYE)),
    "without a banner, listed a little": Script("no-banner", "127.0.2.14", (READ, *BYE)),
    "of whom slow lists say nothing": Script("slow-lists", "127.0.3.46", (READ, *BYE)),
    "of whom no list says anything": Script("no-lists", "127.0.3.47", (READ, *BYE)),
    "of whom a silent list says nothing": Script("silent-lists", "127.0.3.48", (READ, *BYE)),
    "of whom one list says something": Script("broken-lists", "127.0.2.16", (READ, *BYE)),
    "behind a proxy": Script(
        "proxied", "127.0.3.36", (b"PROXY TCP4 127.0.4.1 127.0.4.2 1000 25\r\n", READ, *BYE), cached=False
    ),
    "no proxy": Script("proxied", "127.0.3.37", (b"EHLO client.example.com\r\nNOOP\r\n", READ), cached=False),
    "a balancer that says nothing": Script("proxied", "127.0.3.50", (END,), cached=False),
    "a balancer that says too little": Script("proxied", "127.0.3.51", (b"PROXY TCP4 1.2.3.4\r\n", END), cached=False),
    "no server, and good-bye": Script("no-server", "127.0.3.40", (READ, *BYE)),
    "no server": Script("no-server", "127.0.3.38", (READ, b"HELO c\r\n", READ, *MAIL, *BYE)),
    "another server": Script("other-server", "127.0.3.39", (READ, b"EHLO c\r\n", READ, b"FOO\r\n", READ, *BYE)),
}


def talk(port: int, script: Script) -> list[str]:
    """What the client hears."""
    heard: list[str] = []
    with socket.create_connection(("127.0.0.1", port), PATIENCE, (script.address, 0)) as connection:
        connection.settimeout(PATIENCE)
        current: socket.socket = connection
        buffer = b""
        for step in script.steps:
            if isinstance(step, float | int):
                time.sleep(step)
                continue
            if isinstance(step, bytes):
                try:
                    current.sendall(step)
                    continue
                except OSError:
                    step = END  # what was said before it hung up is still to be read
            if step == TLS:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                current = context.wrap_socket(current)
                continue
            whole = False
            while not whole:
                while b"\n" in buffer and not whole:
                    line, _, buffer = buffer.partition(b"\n")
                    heard.append(line.decode().rstrip("\r"))
                    whole = step == READ and line[3:4] != b"-"
                if whole:
                    break
                try:
                    data = current.recv(4096)
                except ConnectionResetError:
                    data = b""
                except TimeoutError:
                    heard.append("<silence>")
                    return heard
                if not data:
                    heard.append("<closed>")
                    return heard  # whether a command can still be written is a matter of moments
                buffer += data
        return heard


_SHAPES = (
    (re.compile(r"^.*? postfix/(\w+)\[\d+\]: "), r"\1: "),
    (re.compile(r"\]:\d+"), "]:PORT"),
    (re.compile(r"\]\d+:"), "]PORT:"),
    (re.compile(r"(HANGUP|PREGREET \d+) after [0-9.]+"), r"\1 after T"),
    (re.compile(r"(TLS connection established from .* with cipher \S+ \(\d+/\d+ bits\)).*"), r"\1"),
    (re.compile(r"\b[0-9A-F]{10,12}: "), "ID: "),
)


def log_of(text: str, address: str, programs: Sequence[str] = ("postscreen",)) -> list[str]:
    """The lines about a client, without what differs each time."""
    shown = re.compile(rf"\[{re.escape(address)}\]|addr {re.escape(address)} ")
    lines = []
    for line in text.splitlines():
        if not shown.search(line):
            continue
        for pattern, shape in _SHAPES:
            line = pattern.sub(shape, line)
        if line.partition(":")[0] in programs:
            lines.append(line)
    return lines


def random_steps(source: random.Random) -> tuple[Step, ...]:
    """A client that says anything, mostly one line at a time, until it is turned away or says QUIT."""
    steps: list[Step] = [READ]
    for _ in range(source.randint(2, 14)):
        line = source.choice(LINES)
        if source.random() < 0.2:
            line = source.choice([line.lower(), line.title(), line + " ", " " + line, line.replace(" ", "  ", 1)])
        if source.random() < 0.1:
            line = line.replace(" ", "\t", 1)
        if source.random() < 0.1:
            place = source.randrange(len(line) + 1)
            line = line[:place] + source.choice([*"\\\"<>@,;:()[].\x01\x7f\t \xe9%!'*", "\xc3\xa9"]) + line[place:]
        ending = source.choice(("\r\n",) * 8 + ("\n", "\r\r\n"))
        sent = (line + ending).encode("latin-1")
        before = steps[-2] if len(steps) > 1 else None
        # Some come with the line before; behind a refused STARTTLS Postfix's postscreen would not look at them.
        if isinstance(before, bytes) and source.random() < 0.1 and b"STARTTLS" not in before.upper():
            steps[-2:] = [before + sent, READ, READ]
        else:
            steps += [sent, READ]
    return (*steps, *BYE)


LINES = (
    *(
        "HELO c.test",
        "EHLO c.test",
        "EHLO [127.0.0.1]",
        "HELO",
        "EHLO  x y",
        "LHLO x",
        "NOOP",
        "NOOP x",
        "RSET",
        "RSET x",
    ),
    *(
        "MAIL FROM:<a@b.test>",
        "MAIL FROM:<>",
        "MAIL FROM: <a@b> SIZE=10 BODY=8BITMIME",
        "MAIL FROM:a@b",
        "MAIL",
        "MAIL FROM",
    ),
    *('MAIL FROM:<"a b"@c>', "MAIL FROM:<@x:a@b>", "MAIL FROM:Joe <joe@x>", "MAIL TO:<a@b>", "MAIL FROM:<a@b"),
    *("RCPT TO:<x@y.test>", "RCPT TO:<x>", "RCPT TO:x@y", "RCPT TO:<x@y> NOTIFY=NEVER", "RCPT", "RCPT TO", "RCPT TO:"),
    *('RCPT TO:<"x y"@z>', "RCPT TO:<x@[127.0.0.1]>", "RCPT TO:<x@y>,<z@y>", "RCPT TO:<x.@y>", "RCPT TO: (c) x@y"),
    *(
        "VRFY",
        "VRFY x",
        "ETRN",
        "ETRN x.test",
        "AUTH PLAIN AAA=",
        "XFORWARD NAME=x",
        "XCLIENT ADDR=x",
        "HELP",
        "EXPN x",
    ),
    *("", " ", "GET / HTTP/1.1", "Host: x", "X:y", "FOO", "\xe9\xe9", ".", "STARTTLS", "QUI", "TURN"),
)
