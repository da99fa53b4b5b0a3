"""The cleanup line that a service's mail goes through."""

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import parse_master_cf
from posthouse.service.services import behind_cleanup, cleanup_service

MASTER = """\
smtp      inet  n       -       n       -       -       smtpd
cleanup   unix  n       -       n       -       0       cleanup -o always_bcc=all@example.com
authclean unix  n       -       n       -       0       cleanup
  -o header_checks=pcre:/hide -o syslog_name=postfix/authclean -o content_filter=none:
"""
SERVICES = parse_master_cf(MASTER, "master.cf").services


def named(name: str) -> Configuration:
    return Configuration("/etc/postfix", {"cleanup_service_name": name, "content_filter": "smtp:[filter]"})


def test_the_usual_cleanup_has_settings_of_its_own() -> None:
    own = named("cleanup")
    assert behind_cleanup(own, cleanup_service(own, SERVICES)).value("always_bcc") == "all@example.com"


def test_another_cleanup_is_another_configuration() -> None:
    own = named("authclean")
    found = behind_cleanup(own, cleanup_service(own, SERVICES))
    assert found.value("header_checks") == "pcre:/hide"
    assert found.value("always_bcc") == ""


def test_what_the_door_says_is_not_the_cleanups_to_say() -> None:
    own = named("authclean")
    assert behind_cleanup(own, cleanup_service(own, SERVICES)).value("content_filter") == "smtp:[filter]"


def test_without_its_line_the_usual_cleanup_is_main_cfs() -> None:
    own = named("cleanup")
    assert cleanup_service(own, []) is None
    assert behind_cleanup(own, None) is own


def test_a_cleanup_that_is_not_there_is_refused() -> None:
    own = named("sender-cleanup")
    with pytest.raises(ConfigError, match=r"^cleanup_service_name = sender-cleanup: master\.cf has no cleanup"):
        cleanup_service(own, SERVICES)
