"""newaliases, and what an alias database holds besides its rows. Postalias's words: test_postmap.py."""

from pathlib import Path

import pytest

from posthouse.commands import newaliases, postalias
from posthouse.tables.keyed_file import open_keyed_file


def test_newaliases_makes_what_alias_database_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "main.cf").write_text(
        f"compatibility_level = 3.6\nmyhostname = mail.example\nalias_database = hash:{tmp_path}/a, {tmp_path}/b\n"
    )
    (tmp_path / "a").write_text("root: joe\n")
    (tmp_path / "b").write_text('"two words": joe,amy\n')
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    assert newaliases.main([]) == 0
    rows = dict(open_keyed_file("hash", "hash", f"{tmp_path}/b").items())
    assert rows["two words"] == "joe, amy"
    assert rows["@"] == "@"
    assert rows["YP_MASTER_NAME"] == "mail.example"
    assert rows["YP_LAST_MODIFIED"].isdigit()
    (tmp_path / "b").unlink()
    assert newaliases.main([]) == 1
    assert capfdbinary.readouterr().err.decode() == f"postalias: fatal: open {tmp_path}/b: No such file or directory\n"


def test_a_configuration_that_is_not_there_ends_newaliases_as_sendmail_ends(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("MAIL_CONFIG", "/nonexistent")
    assert newaliases.main([]) == 75
    assert postalias.main(["/x"]) == 1
    assert b"fatal: open /nonexistent/main.cf: No such file or directory" in capfdbinary.readouterr().err
