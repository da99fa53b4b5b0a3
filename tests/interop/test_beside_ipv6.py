"""IPv6 end to end, beside Postfix: a listener on ::1, literals, a next hop on ::1, each inet_protocols and
smtp_address_preference; replies, log lines and messages must be the same."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop import capture_server
from tests.interop.pair import Side, pair

FOUR = "127.0.0.1:@smtp@ inet n - n - - smtpd\n"
SIX = "[::1]:@smtp@ inet n - n - - smtpd\n"

MAIN_CF = """
smtp_bind_address6 = ::1
transport_maps = inline:{ other.test=smtp:[localhost]:@sink@
    {six.test=smtp:[::1]:@sink@} {lit6.test=smtp:[ipv6:::1]:@sink@}
    {lit7.test=smtp:[IPV6:0:0::1]:@sink@} }
"""

SETTINGS = {
    "both": ("inet_protocols = all\nsmtp_address_preference = ipv6\n", FOUR + SIX, "::1"),
    "ipv4 preferred": ("inet_protocols = all\nsmtp_address_preference = ipv4\n", FOUR + SIX, "::1"),
    "ipv6 alone": ("inet_protocols = ipv6\n", SIX, "::1"),
    "ipv4 alone": ("inet_protocols = ipv4\n", FOUR, "127.0.0.1"),
}

SESSIONS = (
    ("EHLO six.test", "MAIL FROM:<>", "RCPT TO:<root@pair.test>", "DATA", "Subject: six\r\n\r\nbody\r\n."),
    (
        *("EHLO [IPv6:::1]", "MAIL FROM:<>", "RCPT TO:<root@[IPv6:::1]>", "RCPT TO:<root@[::1]>"),
        *("RCPT TO:<root@[IPv6:0:0::1]>", "RCPT TO:<root@[127.0.0.1]>", "DATA", "Subject: literal\r\n\r\nbody\r\n."),
    ),
    ("EHLO x", "MAIL FROM:<a@[IPv6:::1]>", "RCPT TO:<z@nowhere.test>", "RSET", "MAIL FROM:<a@[::1]>", "QUIT"),
)


class _Six(capture_server._Server):
    address_family = socket.AF_INET6


@contextlib.contextmanager
def _on_six(side: Side) -> Iterator[None]:
    """The side's sink listens on ::1 too."""
    with _Six(("::1", side.capture.port), capture_server._Session) as server:
        server.capture = side.capture  # type: ignore[attr-defined]  # as capture_server() does
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _talk(side: Side, host: str) -> list[str]:
    said = []
    for session in SESSIONS:
        with socket.create_connection((host, side.smtp), timeout=60) as connection:
            file = connection.makefile("rb")
            for command in ("", *session):
                connection.sendall(command.encode() + b"\r\n" if command else b"")
                while (line := file.readline().decode())[3:4] == "-":
                    pass
                said.append(side.calm(line.rstrip()))
    return said


def _story(side: Side, host: str) -> list[object]:
    with _on_six(side):
        said = _talk(side, host)
        addresses = ("r@other.test", "r@six.test", "r@lit6.test", "r@lit7.test")
        side.do("sendmail", "-f", "<>", *addresses, stdin="Subject: out\n\nbody\n")
        side.settled()
    lines = side.lines("postfix/(smtpd|smtp|local|error).*(client=|connect|to=)")
    box = side.mailbox("root") + side.mailbox("nobody")
    sent = [(g.recipient, side.calm(g.content.decode())) for g in side.capture.got]
    return [said, sorted(lines), sorted(re.split(r"^(?=From )", box, flags=re.MULTILINE)), sorted(sent)]


@pytest.mark.parametrize("name", SETTINGS)
def test_it_goes_as_with_postfix(name: str) -> None:
    settings, inet, host = SETTINGS[name]
    with pair(settings + MAIN_CF, inet=inet) as sides, ThreadPoolExecutor(2) as threads:
        theirs, ours = threads.map(lambda side: _story(side, host), sides)
    for one, other in zip(ours, theirs, strict=True):
        assert one == other
