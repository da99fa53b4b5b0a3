"""postconf -t: the templates of a file as Postfix 3.7.11 shows them, and our own as a file that can be read again."""

from hypothesis import given
from hypothesis import strategies as st

from posthouse.bounce.prose import Kind, prose
from posthouse.bounce.template import parse_templates, show_templates
from posthouse.config.error import ConfigError

FILE = """\
# a comment
failure_template = <<EOF
Charset: utf-8
From: MAILER-DAEMON (Post)
Subject: gone
Postmaster-Subject: Copy: gone

Host $myhostname says no.

 indented $$ ${delay_warning_time_hours}
EOF
delay_template = <<END
Subject: late

Late.
END
success_template = <<EOF
Charset: us-ascii
From: X (Y)
Subject: ok

Ok.
EOF

verify_template = <<EOF
From: X (Y)
Subject: probe
Charset: us-ascii

Probe.
EOF
"""

SHOWN = """\
failure_template = <<EOF
Charset: utf-8
From: MAILER-DAEMON (Post)
Subject: gone
Postmaster-Subject: Copy: gone

Host $myhostname says no.

 indented $$ ${delay_warning_time_hours}
EOF

delay_template = <<EOF
Charset: us-ascii
From: Mail Delivery System <MAILER-DAEMON>
Subject: late
Postmaster-Subject: Postmaster Warning: Delayed Mail

Late.
EOF

success_template = <<EOF
Charset: us-ascii
From: X (Y)
Subject: ok

Ok.
EOF

verify_template = <<EOF
Charset: us-ascii
From: X (Y)
Subject: probe

Probe.
EOF
"""


def test_a_file_is_shown_as_postfix_shows_it() -> None:
    assert show_templates(FILE, "FILE", str) == SHOWN


def test_what_is_shown_can_be_read_again() -> None:
    values = {"$myhostname": "mail.example.com"}

    def expand(line: str) -> str:
        for name, value in values.items():
            line = line.replace(name, value)
        return line

    again = parse_templates(show_templates("", "", str), "FILE", expand, lambda _: 5 * 86400, lambda _: True, str)
    assert again.keys() == set(Kind)
    assert again[Kind.FAILURE].text == prose(Kind.FAILURE, "mail.example.com")
    assert "5 day(s) old" in again[Kind.DELAY].text


@given(st.text() | st.lists(st.sampled_from([*FILE.splitlines(keepends=True), "EOF\n", "x\n"])).map("".join))
def test_any_file_is_shown_or_refused(text: str) -> None:
    try:
        assert show_templates(text, "FILE", str).startswith("failure_template = <<EOF\n")
    except ConfigError as error:
        assert error.text.startswith("FILE, line ")
