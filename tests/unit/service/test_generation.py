"""Which lines of master.cf run: master_service_disable, as Postfix 3.7 takes it."""

import os
from pathlib import Path

import pytest

from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service, read_master_cf
from posthouse.service.generation import disabled, read_generation

MASTER = """\
127.0.0.1:12525 inet n - n - - smtpd
127.0.0.1:12526 inet n - n - - smtpd
smtp unix - - n - - smtp
"""


@pytest.fixture
def services(tmp_path: Path) -> list[Service]:
    (tmp_path / "master.cf").write_text(MASTER)
    return list(read_master_cf(str(tmp_path / "master.cf")))


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("", "12525 12526 smtp"),
        ("127.0.0.1:12526/inet", "12525 smtp"),
        ("inet", "smtp"),
        ("!127.0.0.1:12526/inet inet", "12526 smtp"),
        ("inet !127.0.0.1:12526/inet", "smtp"),
        ("127.0.0.1:12526.inet", "12525 smtp"),
        ("127.0.0.1:12526", "12525 12526 smtp"),
        ("INET", "smtp"),
        ("12526/inet", "12525 12526 smtp"),
        ("!inet", "12525 12526 smtp"),
        ("!!inet", "smtp"),
        ("smtp/unix inet", ""),
        ("all", "12525 12526 smtp"),
    ],
)
def test_a_service_is_disabled_by_its_type_or_its_name_and_type(services: list[Service], value: str, left: str) -> None:
    patterns = tuple(value.split())
    names = [s.name.rpartition(":")[2] for s in services if not disabled(s, patterns)]
    assert " ".join(names) == left


def test_a_disabled_listener_is_not_bound(tmp_path: Path, services: list[Service]) -> None:
    (tmp_path / "main.cf").write_text(
        f"myhostname = mail.x.test\nqueue_directory = {tmp_path}\nmail_owner = nobody\n"
        "master_service_disable = 127.0.0.1:12525/inet\n"
    )
    generation = read_generation(str(tmp_path), 3, {"mail": None})
    assert [endpoint.port for endpoint in generation.listeners] == [12526]
    assert (generation.number, generation.processes) == (3, frozenset({("mail", 0)}))
    assert (generation.identity.uid == 0) is False or os.geteuid() != 0


def test_nothing_starts_with_a_bad_number_of_a_program_that_decides_about_all_mail(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        f"compatibility_level = 3.6\nmyhostname = a.example\nqueue_directory = {tmp_path}\nbounce_size_limit = 0\n"
    )
    (tmp_path / "master.cf").write_text("smtp unix - - n - - smtp\nbounce unix - - n - 0 bounce\n")
    with pytest.raises(ConfigError, match=r"^invalid bounce_size_limit parameter value 0 < 1$"):
        read_generation(str(tmp_path), 1, {"mail": None})
    (tmp_path / "master.cf").write_text("smtp unix - - n - - smtp\n")
    assert read_generation(str(tmp_path), 1, {"mail": None}).services
