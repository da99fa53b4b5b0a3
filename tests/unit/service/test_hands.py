"""Whose rights an errand needs."""

from pathlib import Path

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import read_master_cf
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.service.hands import Workbench
from posthouse.transport.hands import UNAVAILABLE, Errand, deferred
from posthouse.transport.local.people import Person


class Nobody:
    def find(self, login: str) -> Person | None:
        return None


def test_a_pipe_with_an_unknown_user_is_told_of_when_mail_comes_for_it(tmp_path: Path) -> None:
    master = tmp_path / "master.cf"
    master.write_text("list unix - n n - - pipe\n  flags=R user=no-such-user argv=/bin/true\n")
    sink = MemorySink()
    log = ProcessLog(sink, "postfix/keeper")
    workbench = Workbench(Configuration(str(tmp_path), {}), read_master_cf(str(master)), Nobody(), log)
    assert sink.lines == []
    errand = Errand("pipe", "list", ("a@x.test",), "ABC", "s@x.test", "a@x.test", "", 0.0, 20)
    assert workbench.identity(errand) == deferred(UNAVAILABLE.status, UNAVAILABLE.reason)
    assert sink.lines == ["postfix/pipe: fatal: get_service_attr: unknown username: no-such-user"]
