from dataclasses import dataclass, field

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import check_everywhere
from posthouse.config.read import read_configuration
from posthouse.config.settings import read_settings


@dataclass(frozen=True, slots=True)
class SampleSettings:
    smtpd_timeout: int
    smtpd_helo_required: bool
    myhostname: str
    mydestination: tuple[str, ...]
    mailbox_command: str
    message_size_limit: int
    second: str = field(metadata={"parameter": "2bounce_notice_recipient"})


BASIC = {"myhostname": "mail.example.com", "compatibility_level": "3.6"}


def configuration(**values: str) -> Configuration:
    return Configuration("/etc/postfix", {**BASIC, **values})


def test_settings_are_read_by_the_type_of_their_field() -> None:
    settings = read_settings(SampleSettings, configuration(smtpd_timeout="2m", mailbox_command="/bin/x $HOME"))
    assert (
        SampleSettings(
            120,
            False,
            "mail.example.com",
            ("mail.example.com", "localhost.example.com", "localhost"),
            "/bin/x $HOME",
            10240000,
            "postmaster",
        )
        == settings
    )


def test_renamed_settings_come_from_other_parameters() -> None:
    @dataclass(frozen=True, slots=True)
    class ClientSettings:
        smtp_helo_timeout: int

    def to_lmtp(name: str) -> str:
        return name.replace("smtp_helo", "lmtp_lhlo")

    assert read_settings(ClientSettings, configuration(lmtp_lhlo_timeout="7"), to_lmtp).smtp_helo_timeout == 7


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("ipc_timeout", "10x", "parameter ipc_timeout: bad time value or unit: 10x"),
        ("ipc_timeout", "", "parameter ipc_timeout: bad time value or unit: "),
        ("ipc_timeout", "-1", "parameter ipc_timeout: bad time value or unit: -1"),
        ("ipc_timeout", "0", "invalid ipc_timeout: 0 (min 1)"),
        ("ipc_timeout", "99999999999s", "parameter ipc_timeout: bad time value or unit: 99999999999s"),
    ],
)
def test_a_bad_time_is_refused(name: str, value: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration(**{name: value}).seconds(name)
    assert complaint == caught.value.text


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("default_process_limit", "x", "bad numerical configuration: default_process_limit = x"),
        ("default_process_limit", "0", "invalid default_process_limit parameter value 0 < 1"),
        ("delay_logging_resolution_limit", "10", "invalid delay_logging_resolution_limit parameter value 10 > 6"),
        ("hopcount_limit", "99999999999", "bad numerical configuration: hopcount_limit = 99999999999"),
    ],
)
def test_a_bad_number_is_refused(name: str, value: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration(**{name: value}).integer(name)
    assert complaint == caught.value.text


def test_less_than_nothing_is_nothing_where_no_minimum_is() -> None:
    own = configuration(message_size_limit="-5", postscreen_dnsbl_allowlist_threshold="-1")
    assert (own.integer("message_size_limit"), own.integer("postscreen_dnsbl_allowlist_threshold")) == (0, -1)


def test_a_bad_boolean_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^bad boolean configuration: soft_bounce = maybe$"):
        configuration(soft_bounce="maybe").boolean("soft_bounce")


def test_a_bare_number_has_the_unit_of_the_default() -> None:
    changed = configuration(delay_warning_time="4", maximal_queue_lifetime="5", ipc_timeout="2h30m")
    assert (
        changed.seconds("delay_warning_time"),
        changed.seconds("maximal_queue_lifetime"),
        changed.seconds("ipc_timeout"),
    ) == (4 * 3600, 5 * 86400, 7200)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("0", ("yes", "no", "md5")), ("3.6", ("no", "yes", "sha256"))],
)
def test_defaults_follow_the_compatibility_level(level: str, expected: tuple[str, ...]) -> None:
    names = ("append_dot_mydomain", "smtputf8_enable", "smtpd_tls_fingerprint_digest")
    assert expected == tuple(configuration(compatibility_level=level).value(name) for name in names)


@pytest.mark.parametrize(
    ("host", "domain"), [("alone", "localdomain"), ("mail.example.com", "example.com"), ("a.b.c.d", "b.c.d")]
)
def test_mydomain_is_myhostname_without_its_first_label(host: str, domain: str) -> None:
    assert domain == configuration(myhostname=host).value("mydomain")


def test_service_parameters_have_defaults_without_being_listed() -> None:
    assert (
        configuration().seconds("slow_destination_rate_delay"),
        configuration().integer("slow_destination_concurrency_limit"),
        configuration().integer("local_destination_concurrency_limit"),
    ) == (0, 20, 2)


def test_overrides_win_and_name_their_origin() -> None:
    changed = configuration().with_overrides({"myhostname": "x.example"}, "master.cf:9")
    assert (
        changed.value("myhostname"),
        changed.origin("myhostname"),
        changed.origin("biff"),
    ) == ("x.example", "master.cf:9", "default")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^unknown parameter: nosuch$"):
        configuration().value("nosuch")


def test_a_loop_is_refused_in_postfix_words() -> None:
    with pytest.raises(ConfigError, match=r"^dictionary mail_dict: macro processing error$") as caught:
        configuration(relayhost="$b", a="$b", b="$a").value("relayhost")
    assert caught.value.warnings == ('unreasonable macro call nesting: "a"',)


def test_a_folder_without_main_cf_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=rf"^open {tmp_path}/main.cf: No such file or directory$"):
        read_configuration(str(tmp_path))


def test_a_configuration_knows_lines_and_folder(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "main.cf").write_text("# c\nmydomain = example.com\n")
    read = read_configuration(str(tmp_path))
    assert ("main.cf:2", str(tmp_path)) == (read.origin("mydomain"), read.value("config_directory"))


def test_myorigin_may_name_a_file_as_debian_has_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mailname").write_text("  example.com \nignored\n")
    own = configuration(myorigin=f"{tmp_path}/mailname", masquerade_domains="$myorigin")
    assert own.value("myorigin") == "example.com"
    assert own.value("masquerade_domains") == f"{tmp_path}/mailname"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "FILE: cannot open file: No such file or directory"),
        ("\nsecond\n", "myorigin file FILE is empty"),
        ("one two\n", "myorigin parameter setting must not contain multiple values: one two"),
    ],
)
def test_a_file_without_a_name_is_refused(tmp_path, content: str | None, complaint: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mailname"
    if content is not None:
        path.write_text(content)
    own = configuration(myorigin=str(path))
    assert [complaint.replace("FILE", str(path))] == [text for name, text in check_everywhere(own)]
