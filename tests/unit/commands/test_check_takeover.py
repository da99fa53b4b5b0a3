"""What posthouse check-takeover says of a configuration: one claim per test."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from posthouse.commands import check_takeover
from posthouse.commands.check_takeover import Line, main, print_report, report
from posthouse.config.read import read_configuration
from posthouse.host.locks import take_lock
from posthouse.testkit.certificate import write_certificate
from tests.queue_files import put, queue_file


class Host:
    """A configuration in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etc = folder / "etc"
        self.etc.mkdir()
        self.main_cf = {
            "queue_directory": f"{folder}/spool",
            "data_directory": f"{folder}/data",
            "mail_owner": pwd.getpwuid(65534).pw_name,
            "alias_maps": "",
            "compatibility_level": "3.6",
            "smtpd_relay_restrictions": "reject_unauth_destination",
        }
        self.master_cf = "smtp unix - - n - - smtp\n"
        (folder / "spool").mkdir()
        (folder / "data").mkdir()

    def sections(self) -> dict[str, list[Line]]:
        (self.etc / "main.cf").write_text("".join(f"{name} = {text}\n" for name, text in self.main_cf.items()))
        (self.etc / "master.cf").write_text(self.master_cf)
        return {section.title: section.lines for section in report(read_configuration(str(self.etc)))}

    def says(self, title: str, part: str) -> Line:
        """The one line of a section with these words in it."""
        found = [line for line in self.sections()[title] if part in line.text]
        assert len(found) == 1, (part, self.sections()[title])
        return found[0]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_plain_configuration_stops_nothing(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.sections()
    assert main(str(host.etc)) == 0
    said = capsys.readouterr().out
    assert said.startswith("Versions\n    Posthouse ")
    assert "\nParameters\n    6 set: 6 act, 0 have no effect, 0 missing\n" in said
    assert "Nothing of this would stop mail; " in said.splitlines()[-1]


def test_what_stops_mail_is_counted_and_the_exit_status(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.master_cf += "mystery unix - - n - - mystery\n"
    host.sections()
    assert main(str(host.etc)) == 1
    said = capsys.readouterr().out
    assert "  ! master.cf:2: mystery unix mystery: not served: nobody would answer there\n" in said
    assert said.splitlines()[-1].startswith("1 of this would stop mail (marked !), ")


def test_a_broken_master_cf_is_all_that_is_said(host: Host) -> None:
    host.master_cf = "smtp inet n\n"
    (section,) = host.sections().items()
    assert section[0] == "Services"
    assert [line.level for line in section[1]] == ["stops"]
    assert "master.cf" in section[1][0].text


def test_each_service_is_told_with_what_it_means_here(host: Host) -> None:
    host.master_cf = (
        "2525 inet n - y - - smtpd\n"
        "pickup unix n - y 60 1 pickup\n"
        "retry unix - - y - - error\n"
        "inside unix n - n - - smtpd\n"
    )
    lines = host.sections()["Services"]
    assert lines == [
        Line("ok", "master.cf:1: 2525 inet smtpd: served"),
        Line("ok", "master.cf:2: pickup unix pickup: needs no process (its -o settings act)"),
        Line("ok", "master.cf:3: retry unix error: served"),
        Line("stops", "master.cf:4: inside unix smtpd: only inet listeners are served"),
        Line("note", "3 with chroot = y: nothing runs in a chroot here; sockets are sought there too"),
    ]


def test_a_misspelt_parameter_is_named_with_its_line(host: Host) -> None:
    host.main_cf["mydestinaton"] = "x"
    line = host.says("Parameters", "mydestinaton")
    assert (line.level, f"{host.etc}/main.cf:7: " in line.text) == ("warning", True)


def test_parameters_of_services_are_counted_too(host: Host) -> None:
    host.master_cf = "smtp unix - - n - - smtp\n  -o smtp_helo_name=x.test\n"
    assert host.says("Parameters", " set: ").text.startswith("7 set: 7 act")


def test_what_asks_for_nothing_is_not_counted_as_missing(host: Host) -> None:
    host.main_cf |= {"biff": "no", "smtp_tls_session_cache_database": ""}
    assert host.says("Parameters", " set: ").text == "8 set: 8 act, 0 have no effect, 0 missing"


def test_what_has_no_effect_is_no_reason_to_look(host: Host) -> None:
    host.main_cf["max_use"] = "20"
    assert host.says("Parameters", "max_use has no effect here").level == "note"


def test_a_pipe_without_its_user_or_command_is_told(host: Host) -> None:
    host.master_cf += "a unix - n n - - pipe user=no-such-user-here argv=/bin/true\n"
    host.master_cf += "b unix - n n - - pipe user=nobody argv=/no/such/command ${user}\n"
    host.master_cf += "c unix - n n - - pipe user=nobody argv=/bin/true ${user}\n"
    assert host.says("Services", ": a unix pipe") == Line(
        "note", "master.cf:2: a unix pipe: no user no-such-user-here: mail that it is given would wait"
    )
    host.main_cf["mailbox_transport"] = "b"
    line = host.says("Services", ": b unix pipe")
    assert (line.level, ": no command /no/such/command: " in line.text) == ("warning", True)
    assert host.says("Services", ": c unix pipe").text.endswith(": served")


def test_a_command_that_cannot_be_spawned_stops_those_who_ask_it(host: Host) -> None:
    host.master_cf += "policyd-spf unix - n n - 0 spawn user=nobody argv=/no/such/command\n"
    assert host.says("Services", "policyd-spf").level == "note"
    host.main_cf["smtpd_recipient_restrictions"] = "check_policy_service unix:private/policyd-spf"
    assert host.says("Services", "policyd-spf").level == "stops"
    host.master_cf = host.master_cf.replace("/no/such/command", "/bin/true")
    assert host.says("Services", "policyd-spf").text.endswith(": served")


def test_a_second_queue_manager_is_not_kept_apart(host: Host) -> None:
    host.master_cf += "qmgr unix n - n 300 1 qmgr\nother unix n - n 300 1 qmgr -o rewrite_service_name=x\n"
    line = host.says("Services", "other unix qmgr")
    assert (line.level, "its own rewrite_service_name does nothing" in line.text) == ("note", True)


def test_tables_of_lists_and_restrictions_are_opened(host: Host) -> None:
    (host.folder / "vhost").write_text("example.com\n\nexample.org\n")
    host.main_cf |= {
        "virtual_mailbox_domains": f"{host.folder}/vhost",
        "relay_domains": f"cidr:{host.folder}/none",
        "smtpd_helo_restrictions": "check_helo_access inline:{a=OK}",
        "smtpd_client_restrictions": "check_client_access inline:{a=OK}",
    }
    assert host.says("Tables", "vhost").text == f"virtual_mailbox_domains: {host.folder}/vhost: 2 lines"
    assert host.says("Tables", "relay_domains").level == "stops"
    line = host.says("Tables", "inline:{a=OK}")
    assert line.text == "smtpd_client_restrictions, smtpd_helo_restrictions: inline:{a=OK}: opens"


def test_a_database_client_is_as_good_as_its_file(host: Host) -> None:
    (host.folder / "maps.cf").write_text(f"dbpath = {host.folder}/users\nquery = SELECT a FROM t WHERE b = '%s'\n")
    host.main_cf |= {
        "virtual_alias_maps": f"sqlite:{host.folder}/maps.cf",
        "transport_maps": f"mysql:{host.folder}/none.cf",
    }
    assert host.says("Tables", "virtual_alias_maps").level == "stops"
    connection = apsw.Connection(f"{host.folder}/users")
    connection.execute("CREATE TABLE t (a, b)")
    connection.close()
    assert host.says("Tables", "virtual_alias_maps").text.endswith(": opens")
    assert host.says("Tables", "transport_maps").level == "stops"


def test_a_filter_behind_the_queue_is_asked_too(host: Host, listener: int) -> None:
    title = "Filters, policy servers and logins"
    host.main_cf["content_filter"] = f"smtp:[127.0.0.1]:{listener}"
    assert host.says(title, "content_filter") == Line("ok", f"content_filter: smtp:[127.0.0.1]:{listener}: answers")
    host.main_cf["content_filter"] = "amavis:[127.0.0.1]:10024"
    assert host.says(title, "content_filter") == Line(
        "stops", "content_filter: amavis:[127.0.0.1]:10024: master.cf has no service amavis"
    )
    host.main_cf["content_filter"] = "smtp:[192.0.2.1]:10024"
    assert host.sections()[title] == [Line("ok", "none")]


def test_a_chain_file_is_read_as_a_whole(host: Host) -> None:
    certificate, key = write_certificate(host.folder, "mail.example.com")
    host.main_cf["smtpd_tls_chain_files"] = f"{key} {certificate}"
    assert host.says("Certificates", "chain_files").text.endswith(": readable, and the keys fit")
    host.main_cf["smtpd_tls_chain_files"] = f"{certificate} {key}"
    assert host.says("Certificates", "chain_files").level == "stops"


def test_a_table_that_opens_and_one_that_does_not(host: Host) -> None:
    (host.folder / "good").write_text("a b\n")
    host.main_cf["virtual_alias_maps"] = f"texthash:{host.folder}/good, texthash:{host.folder}/none"
    host.main_cf["transport_maps"] = "socketmap:inet:192.0.2.1:9:x"
    assert host.says("Tables", "/good: opens").level == "ok"
    assert host.says("Tables", "virtual_alias_maps: texthash:" + f"{host.folder}/none").level == "stops"
    assert host.says("Tables", "transport_maps: ") == Line(
        "note", "transport_maps: socketmap:inet:192.0.2.1:9:x: a server; asked when it is needed"
    )


def test_a_table_of_a_service_is_opened(host: Host) -> None:
    host.master_cf = "smtp unix - - n - - smtp\n  -o smtp_generic_maps=inline:{a=b}\n"
    assert host.says("Tables", "smtp_generic_maps: inline:{a=b}") == Line(
        "ok", "smtp_generic_maps: inline:{a=b}: opens"
    )


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_milters_and_policy_servers_of_this_machine_are_asked(host: Host, listener: int) -> None:
    host.main_cf["smtpd_milters"] = f"inet:127.0.0.1:{listener}, {{ unix:/run/none, default_action=accept }}"
    host.main_cf["smtpd_recipient_restrictions"] = "check_policy_service inet:192.0.2.1:9, permit"
    title = "Filters, policy servers and logins"
    assert host.says(title, f"127.0.0.1:{listener}") == Line("ok", f"smtpd_milters: inet:127.0.0.1:{listener}: answers")
    line = host.says(title, "unix:/run/none")
    assert (line.level, line.text.endswith(": does its server run?")) == ("warning", True)
    assert host.says(title, "192.0.2.1").text.endswith(": another host; not tried")


def test_a_socket_is_sought_below_the_spool_first(host: Host) -> None:
    (host.folder / "spool" / "private").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(host.folder / "spool" / "private" / "auth"))
        server.listen()
        host.main_cf |= {
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": "private/auth",
        }
        assert host.says("Filters, policy servers and logins", "smtpd_sasl_path") == Line(
            "ok", "smtpd_sasl_path: private/auth: answers"
        )


def test_cyrus_stops_logins_unless_there_are_accounts_of_ours(host: Host) -> None:
    host.main_cf["smtpd_sasl_auth_enable"] = "yes"
    title = "Filters, policy servers and logins"
    assert host.says(title, "Cyrus").level == "stops"
    host.main_cf["account_databases"] = f"passwd-file:{host.etc}/accounts"
    assert host.says(title, "logins").level == "ok"


def test_a_key_that_does_not_fit_stops(host: Host) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    for name in ("a", "b"):
        command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}"
        subprocess.run(
            [*command.split(), "-keyout", f"{host.folder}/{name}.key", "-out", f"{host.folder}/{name}.pem"],
            check=True,
            capture_output=True,
        )
    host.main_cf |= {"smtpd_tls_cert_file": f"{host.folder}/a.pem", "smtpd_tls_key_file": f"{host.folder}/a.key"}
    assert host.says("Certificates", "its key fits").level == "ok"
    host.main_cf["smtpd_tls_key_file"] = f"{host.folder}/b.key"
    line = host.says("Certificates", "KEY_VALUES_MISMATCH")
    assert line.level == "stops"


def test_a_port_that_is_taken_stops_unless_the_mail_system_has_it(host: Host, listener: int) -> None:
    host.master_cf += f"127.0.0.1:{listener} inet n - n - - smtpd\n"
    assert host.says("Ports", f"port {listener}") == Line("stops", f"127.0.0.1 port {listener}: Address already in use")
    (host.folder / "spool" / "pid").mkdir()
    pid = host.folder / "spool" / "pid" / "master.pid"
    pid.write_text("4711\n")
    lock = take_lock(str(pid))
    assert lock is not None
    try:
        assert host.says("Ports", f"port {listener}").text.endswith("held while the mail system runs (pid 4711)")
        assert host.says("Spool", "runs on it").text.endswith("Postfix runs on it (pid 4711)")
    finally:
        lock.release()


def test_without_a_listener_it_says_so(host: Host) -> None:
    assert host.sections()["Ports"] == [Line("warning", "no listener: nothing comes in by the network")]


def test_an_owner_who_is_nobody_or_root_stops(host: Host) -> None:
    host.main_cf["mail_owner"] = "no-such-user-here"
    assert host.says("Users and groups", "mail_owner") == Line("stops", "mail_owner: no user no-such-user-here")
    host.main_cf["mail_owner"] = "root"
    assert host.says("Users and groups", "mail_owner") == Line("stops", "mail_owner: root is root")
    host.main_cf["setgid_group"] = "no-such-group-here"
    assert host.says("Users and groups", "setgid_group").level == "note"


def test_mail_that_waits_is_counted(host: Host) -> None:
    put(host.folder / "spool", "deferred", "4E2F623E290", queue_file(b"a: b\r\n\r\n"))
    put(host.folder / "spool", "maildrop", "4E2F623E291", b"")
    put(host.folder / "spool", "maildrop", "4E2F623E292", b"")
    assert (
        host.says("Spool", "deferred:").text
        == "deferred: 1 message of Postfix; posthouse import-queue brings them over"
    )
    assert host.says("Spool", "maildrop:") == Line("note", "maildrop: 2 messages of Postfix; pickup reads it")


def test_an_import_that_was_broken_off_is_told(host: Host) -> None:
    (host.folder / "spool" / "posthouse" / "queue" / "import").mkdir(parents=True)
    assert host.says("Spool", "broken off").level == "warning"


def test_too_little_space_stops(host: Host) -> None:
    host.main_cf["message_size_limit"] = str(1 << 60)
    host.main_cf["mailbox_size_limit"] = "0"
    lines = [line for line in host.sections()["Spool"] if "MiB free" in line.text]
    assert [line.level for line in lines] == ["stops", "stops"]


def test_a_long_list_is_cut_and_counted(host: Host) -> None:
    for number in range(check_takeover.SHOWN + 5):
        host.main_cf[f"mystery_parameter_{number}"] = "x"
    assert host.says("Parameters", "more: postfix check tells all").level == "note"


def test_the_marks_say_how_grave_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    levels = ("ok", "note", "warning", "stops")
    stops = print_report([check_takeover.Section("Title", [Line(level, level) for level in levels])])
    assert stops == 1
    assert capsys.readouterr().out == (
        "Title\n    ok\n  - note\n  ? warning\n  ! stops\n\n"
        "1 of this would stop mail (marked !), 1 to look at (marked ?).\n"
    )


def test_it_changes_nothing(host: Host) -> None:
    (host.folder / "aliases").write_text("a: b\n")
    host.main_cf["alias_maps"] = f"texthash:{host.folder}/aliases"
    host.sections()
    before = sorted(os.walk(host.folder))
    host.sections()
    assert sorted(os.walk(host.folder)) == before
