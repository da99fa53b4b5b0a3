import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.error import ConfigError
from posthouse.config.fold import print_service
from posthouse.config.master_cf import parse_master_cf


def test_fields_settings_and_arguments_are_read() -> None:
    text = (
        "# top\n"
        "submission inet n - y - 20 smtpd -v\n"
        "  -o syslog_name=postfix/submission\n"
        "# between\n"
        "  -o { smtpd_client_restrictions = permit_mynetworks, reject }\n"
        "dovecot unix - n n 1000? - pipe -oa=b\n"
        "  flags=DRhu user=vmail argv=/bin/x -o {c d} ${recipient}\n"
    )
    submission, dovecot = parse_master_cf(text, "master.cf").services
    assert (
        submission.name,
        submission.type,
        submission.private,
        submission.unprivileged,
        submission.chroot,
        submission.maxproc,
        submission.command,
    ) == ("submission", "inet", False, True, True, 20, "smtpd")
    assert submission.overrides == {
        "syslog_name": "postfix/submission",
        "smtpd_client_restrictions": "permit_mynetworks, reject",
    }
    assert (submission.verbose, submission.line, submission.arguments) == (1, 2, ())
    assert dovecot.arguments == ("flags=DRhu", "user=vmail", "argv=/bin/x", "-o", "c d", "${recipient}")
    assert (
        dovecot.overrides,
        dovecot.wakeup,
        dovecot.wakeup_if_used,
        dovecot.maxproc,
    ) == ({"a": "b"}, 1000, True, None)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("smtps inet n - n - -", "file M: line 1: bad field count"),
        ("smtp tcp n - n - - smtpd", 'invalid type field "tcp" in "smtp tcp n - n - - smtpd"'),
        ("smtp inet x - n - - smtpd", 'invalid private field "x" in "smtp inet x - n - - smtpd"'),
        ("smtp inet n - n x - smtpd", 'invalid wakeup field "x" in "smtp inet n - n x - smtpd"'),
        ("smtp inet n - n - x smtpd", 'invalid process_limit field "x" in "smtp inet n - n - x smtpd"'),
    ],
)
def test_a_broken_line_is_refused(line: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_master_cf(line + "\n", "M")
    assert complaint == caught.value.text


@pytest.mark.parametrize(
    ("word", "warning"),
    [
        ("-o {a=b", "master.cf: missing '}' in \"{a=b\""),
        ("-o {a=b}c", "master.cf: syntax error after '}' in \"{a=b}c\""),
        ("-o {=x}", 'master.cf: missing attribute name: "=x"'),
        ("-o {a}", "master.cf: missing '=' after attribute name: \"a\""),
    ],
)
def test_a_doubtful_setting_is_warned_about(word: str, warning: str) -> None:
    assert [warning] == parse_master_cf(f"smtp inet n - n - - smtpd {word}\n", "M").warnings


def test_folded_entries_have_each_setting_on_its_own_line() -> None:
    (service,) = parse_master_cf("smtp inet n - n - - smtpd -o a=b -v -o { c = d e } -v foo\n", "M").services
    assert print_service(service.fields, service.words, fold=True) == (
        "smtp       inet  n       -       n       -       -       smtpd\n    -o a=b\n    -v\n    -o {c=d e}\n    -v foo"
    )


def test_a_long_name_pushes_the_columns() -> None:
    (service,) = parse_master_cf("127.0.0.1:10025 inet n - n - - smtpd\n", "M").services
    assert (
        print_service(service.fields, service.words, fold=False)
        == "127.0.0.1:10025 inet n   -       n       -       -       smtpd"
    )


@given(st.text(alphabet=st.sampled_from("ab -o{}=#\n\tyn60?"), max_size=80))
def test_any_text_gives_services_or_a_config_error(text: str) -> None:
    try:
        master = parse_master_cf(text, "M")
    except ConfigError as error:
        assert error.text
    else:
        for service in master.services:
            printed = print_service(service.fields, service.words, fold=False)
            assert [service.fields[:2]] == [s.fields[:2] for s in parse_master_cf(printed, "M").services]
