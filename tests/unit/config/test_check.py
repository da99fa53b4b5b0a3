from pathlib import Path

import pytest

from posthouse.config.check import Finding, check_configuration
from posthouse.config.check_values import check_values
from posthouse.config.read import read_configuration

MASTER = "smtp inet n - n - - smtpd\n"
MAIN = "compatibility_level = 3.6\nmyhostname = mail.example.com\nmynetworks = 127.0.0.0/8\n"


def check(folder: Path, main: str, master: str = MASTER) -> list[Finding]:
    (folder / "main.cf").write_text(MAIN + main)
    (folder / "master.cf").write_text(master)
    return check_configuration(read_configuration(str(folder)))


def test_a_plain_configuration_is_sound(tmp_path: Path) -> None:
    assert check(tmp_path, "") == []


def test_what_is_turned_off_and_never_was_on_is_not_told(tmp_path: Path) -> None:
    assert check(tmp_path, "biff = no\nsmtpd_forbid_bare_newline = normalize\n") == []
    assert [f.text for f in check(tmp_path, "biff = yes please\n")] != []


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("smtpd_timeout = 10x", "error", "parameter smtpd_timeout: bad time value or unit: 10x"),
        ("soft_bounce = maybe", "error", "bad boolean configuration: soft_bounce = maybe"),
        ("message_size_limit = x", "error", "bad numerical configuration: message_size_limit = x"),
        ("inet_protocols = ipv5", "error", 'unknown inet_protocols value "ipv5" in "ipv5"'),
        (
            "alias_maps = hasch:/etc/aliases",
            "warning",
            "alias_maps: unsupported dictionary type: hasch; mail that needs it waits",
        ),
        ("smtpd_tls_cert_file = /nosuch", "error", "smtpd_tls_cert_file: /nosuch: No such file or directory"),
        (
            "mydestinations = x",
            "warning",
            "unused parameter: mydestinations; did you mean mydestination?",
        ),
        (
            "virtual_mailbox_domains = localhost",
            "warning",
            "do not list domain localhost in BOTH mydestination and virtual_mailbox_domains",
        ),
        (
            "message_size_limit = 99000000",
            "warning",
            "mailbox_size_limit (51200000) is smaller than message_size_limit (99000000)",
        ),
        (
            "mynetworks = 0.0.0.0/0",
            "warning",
            "mynetworks: 0.0.0.0/0 lets almost everyone relay through this machine",
        ),
        (
            "posthouse_workers = 4",
            "warning",
            "posthouse_workers = 4: client and destination limits are divided among the workers, at least 1 each",
        ),
        (
            "ipc_timeout = 5s",
            "warning",
            "ipc_timeout has no effect here: the parts of this program do not talk over named sockets",
        ),
        ("smtpd_relay_restrictions = permit", "warning", "in parameter smtpd_relay_restrictions or smtpd_recipient"),
    ],
)
def test_findings_have_file_and_line(tmp_path: Path, line: str, level: str, text: str) -> None:
    findings = [finding for finding in check(tmp_path, line + "\n") if finding.text.startswith(text)]
    assert [(level, f"{tmp_path}/main.cf", 4)] == [(f.level, f.file, f.line) for f in findings]


def test_a_setting_of_a_service_is_found_in_master_cf(tmp_path: Path) -> None:
    findings = check(tmp_path, "", MASTER + "x unix - - n - - smtp\n  -o smtp_helo_timeout=5q\n")
    assert [
        Finding(
            "error",
            f"{tmp_path}/master.cf",
            2,
            "smtp_helo_timeout",
            "parameter smtp_helo_timeout: bad time value or unit: 5q",
        )
    ] == findings


def test_a_broken_master_cf_is_an_error_with_its_line(tmp_path: Path) -> None:
    (finding,) = check(tmp_path, "", MASTER + "smtps inet n - n\n")
    path = f"{tmp_path}/master.cf"
    assert ("error", path, 2, f"file {path}: line 2: bad field count") == (
        finding.level,
        finding.file,
        finding.line,
        finding.text,
    )


def test_a_reject_row_in_mynetworks_is_told(tmp_path: Path) -> None:
    (tmp_path / "nets").write_text("10.0.0.0/8 OK\n10.1.0.0/16 REJECT\n")
    findings = check(tmp_path, f"mynetworks = cidr:{tmp_path}/nets\n")
    assert [finding.line for finding in findings] == [4, 4]
    finding = findings[-1]
    assert f"mynetworks: cidr:{tmp_path}/nets, line 2: a row says REJECT" in finding.text


def test_a_table_older_than_its_source_is_told(tmp_path: Path) -> None:
    import os

    source = tmp_path / "canonical"
    source.write_text("a b\n")
    (tmp_path / "canonical.db").write_bytes(b"")
    os.utime(tmp_path / "canonical.db", (1, 1))
    (finding,) = check(tmp_path, f"canonical_maps = hash:{source}\n")
    assert f"database {source}.db is older than source file {source}" in finding.text


def test_a_loop_of_parameters_is_an_error(tmp_path: Path) -> None:
    findings = check(tmp_path, "relayhost = $a\na = $b\nb = $a\n")
    assert (findings[0].level, findings[0].text) == ("error", 'relayhost: unreasonable macro call nesting: "b"')


@pytest.mark.parametrize("network", ["10.0.0.0/8", "[fe80::]/10", "[fc00::]/7", "172.16.0.0/12"])
def test_networks_that_no_stranger_is_in_are_not_told(tmp_path: Path, network: str) -> None:
    assert not [f for f in check(tmp_path, f"mynetworks = {network}\n") if "almost everyone" in f.text]


def test_a_limit_of_an_agent_that_carries_nothing_is_not_told(tmp_path: Path) -> None:
    main = "mailbox_size_limit = 0\nmessage_size_limit = 99000000\nvirtual_mailbox_domains = example.com\n"
    master = f"{MASTER}virtual unix - n n - - virtual\nlmtp unix - - n - - lmtp\n"
    assert check(tmp_path, f"{main}virtual_transport = lmtp:unix:private/lmtp\n", master) == []
    (finding,) = check(tmp_path, main, master)
    assert finding.text == "virtual_mailbox_limit (51200000) is smaller than message_size_limit (99000000)"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "virtual_mailbox_domains = /nosuch/vhost",
            "virtual_mailbox_domains: /nosuch/vhost: No such file or directory",
        ),
        ("relay_domains = $mydestination cidr:/nosuch", "relay_domains: cidr:/nosuch is unavailable: No such file"),
        ("relay_domains = hash:/nosuch", "relay_domains: open database /nosuch.db: No such file or directory; run:"),
        ("smtpd_helo_restrictions = check_helo_access pcre:/nosuch", "smtpd_helo_restrictions: pcre:/nosuch is unav"),
        ("smtpd_restriction_classes = a\na = check_client_access cidr:/nosuch", "a: cidr:/nosuch is unavailable: No"),
        ("smtpd_command_filter = pcre:/nosuch", "smtpd_command_filter: pcre:/nosuch is unavailable: No such file"),
    ],
)
def test_files_of_lists_and_restrictions_are_looked_for(tmp_path: Path, line: str, text: str) -> None:
    (finding,) = [f for f in check(tmp_path, line + "\n") if f.text.startswith(text)]
    assert finding.level == "warning"


def test_addresses_of_version_6_are_no_tables(tmp_path: Path) -> None:
    assert check(tmp_path, "smtpd_authorized_xclient_hosts = ::1 fe80::1/64 [::1]/128\n") == []


POSTSCREEN = "smtp inet n - y - 1 postscreen\ndnsblog unix - - y - 0 dnsblog\ntlsproxy unix - - y - 0 tlsproxy\n"


def test_a_postscreen_needs_a_server_to_hand_its_clients_to(tmp_path: Path) -> None:
    assert check(tmp_path, "postscreen_greet_action = enforce\n", POSTSCREEN + "smtpd pass - - y - - smtpd\n") == []
    (finding,) = check(tmp_path, "", POSTSCREEN + "smtpd unix - - y - - smtpd\n")
    text = "postscreen hands clients to the service smtpd of type pass, and master.cf has none"
    assert (finding.level, finding.text) == ("warning", text)


def test_a_time_of_which_only_a_part_counts_is_told(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = a.example\nsmtp_helo_timeout = 1h30m\n")
    findings = [one.text for one in check_values(read_configuration(str(tmp_path)), ()) if one.level == "warning"]
    assert findings == ["only 1h counts of the time 1h30m"]
