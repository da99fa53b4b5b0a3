"""Mail that should be filtered by milters does not pass unfiltered because milters are missing here."""

import pytest

from posthouse.config.configuration import Configuration
from posthouse.envelope.envelope import Client
from posthouse.envelope.verdict import DUNNO, Action
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.service.milters import behind_milters, local_refusal
from posthouse.testkit.smtp_parts import MemoryStages


def configuration(**values: str) -> Configuration:
    return Configuration("/etc/postfix", values)


def log() -> ProcessLog:
    return ProcessLog(MemorySink(), "postfix/smtpd", 1)


def test_without_milters_nothing_changes() -> None:
    stages = MemoryStages()
    assert stages is behind_milters(stages, configuration(), log())
    assert local_refusal(configuration(), log()) is None


@pytest.mark.parametrize(("action", "code"), [("tempfail", 451), ("reject", 550), ("quarantine", 451)])
async def test_the_default_action_answers_mail(action: str, code: int) -> None:
    own = configuration(smtpd_milters="inet:127.0.0.1:1", milter_default_action=action)
    stages = behind_milters(MemoryStages(), own, log())
    session = stages.begin(Client(), "127.0.0.1", 25, log=lambda log_class, stage, text: None)
    assert await session.connect() == DUNNO
    verdict = await session.mail("a@x.test", size=0, body="", smtputf8=False)
    assert code == verdict.code
    assert verdict.action in (Action.DEFER, Action.REJECT)


def test_accept_lets_mail_pass_and_says_so() -> None:
    sink = MemorySink()
    stages = MemoryStages()
    own = configuration(smtpd_milters="inet:127.0.0.1:1", milter_default_action="accept")
    assert stages is behind_milters(stages, own, ProcessLog(sink, "postfix/smtpd", 1))
    assert "milters are missing so far" in sink.lines[0]


def test_local_mail_waits_for_its_milters() -> None:
    refusal = local_refusal(configuration(non_smtpd_milters="inet:127.0.0.1:1"), log())
    assert refusal is not None
    assert refusal.code == 451
