"""Postmaster is told of sessions with errors of the classes in notify_classes."""

import asyncio
from collections.abc import Callable

from posthouse.bounce.session_notice import SessionNotices, SessionNoticeSettings
from posthouse.envelope.envelope import Client, Notify
from posthouse.envelope.verdict import DUNNO, Action, Verdict
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.net.pair import stream_pair
from posthouse.session.smtp.listener import SmtpListener
from posthouse.session.smtp.service import SmtpService
from posthouse.session.smtp.settings import SmtpdSettings
from posthouse.session.smtp.transcript import Transcript
from posthouse.testkit.smtp_parts import MemoryIntake, MemoryStages, MemoryStageSession
from posthouse.wire.smtp.transcript_line import LINES_LIMIT


class OneVerdict(MemoryStageSession):
    """Says the same of every recipient."""

    verdict: Verdict

    async def rcpt(self, address: str, *, notify: Notify, orcpt: str) -> Verdict:
        return self.verdict


class OneVerdictStages(MemoryStages):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict

    def begin(
        self, client: Client, server_address: str, server_port: int, *, log: Callable[[str, str, str], None]
    ) -> OneVerdict:
        session = OneVerdict(client, log)
        session.verdict = self.verdict
        return session


REFUSED = Verdict(Action.REJECT, 554, "5.7.1", "<a@far.example>: Relay access denied")
CONFUSED = Verdict(Action.REJECT, 451, "4.3.5", "Server configuration error")
MESSAGE = ["MAIL FROM:<a@b.example>", "RCPT TO:<good@example.com>", "DATA", "Subject: x", "", "x", "."]


async def told(lines: list[str], classes: str, *, limit: int = 100, verdict: Verdict = DUNNO) -> list[str]:
    """The notice of one session, line by line; none: []."""
    log = ProcessLog(MemorySink(), "postfix/smtpd")
    post = MemoryIntake()
    stages = OneVerdictStages(verdict)
    settings = SmtpdSettings(myhostname="mail.example", smtpd_error_sleep_time=0, smtpd_history_flush_threshold=limit)
    service = SmtpService(settings, stages, MemoryIntake(), log, MemoryJournal())
    notice_settings = SessionNoticeSettings("mail.example", notify_classes=tuple(classes.split()))
    service.notices = SessionNotices(notice_settings, post, log)
    near, far = stream_pair()
    session = asyncio.create_task(SmtpListener(service).on_stream(far))
    async with asyncio.timeout(20):
        near.write("".join(f"{line}\r\n" for line in ["EHLO c", *lines, "QUIT"]).encode())
        while await near.read(5):
            pass
        await session
    if not post.messages:
        return []
    (message,) = post.messages
    assert message.envelope.sender == "double-bounce@mail.example"
    assert [recipient.address for recipient in message.envelope.recipients] == ["postmaster"]
    return b"".join(message.content).decode().split("\r\n")


async def test_a_refusal_is_of_the_class_policy_and_a_command_that_nobody_knows_of_the_class_protocol() -> None:
    said = ["MAIL FROM:<a@b.example>", "RCPT TO:<a@far.example>"]
    notice = await told(said, "policy", verdict=REFUSED)
    assert notice[3:7] == [
        "Subject: Postfix SMTP server: errors from unknown[127.0.0.1]",
        "",
        "Transcript of session follows.",
        "",
    ]
    assert " In:  RCPT TO:<a@far.example>" in notice
    assert " Out: 554 5.7.1 <a@far.example>: Relay access denied" in notice
    assert await told(said, "protocol software resource bounce", verdict=REFUSED) == []
    assert " In:  FOO" in await told(["FOO"], "protocol")
    assert await told(["FOO"], "policy") == []


async def test_our_own_faults_are_told_by_default() -> None:
    said = ["MAIL FROM:<a@b.example>", "RCPT TO:<a@far.example>"]
    assert await told(said, "resource software", verdict=CONFUSED)


async def test_errors_before_a_message_that_was_accepted_count_no_more() -> None:
    assert await told(["FOO", *MESSAGE], "protocol") == []
    assert await told([*MESSAGE, "FOO"], "protocol")


async def test_the_content_of_messages_is_not_told() -> None:
    notice = await told([*MESSAGE, "FOO"], "protocol")
    assert " In:  DATA" in notice and " In:  Subject: x" not in notice


async def test_what_was_said_before_the_threshold_is_forgotten_at_a_reset() -> None:
    notice = await told([*["NOOP"] * 5, "RSET", "NOOP again", "FOO"], "protocol", limit=4)
    assert " In:  NOOP" not in notice and " In:  NOOP again" in notice


def test_passwords_are_not_shown_and_lines_are_limited() -> None:
    transcript = Transcript()
    transcript.heard("AUTH PLAIN AGEAYg==")
    transcript.answered(b"535 5.7.8 no\r\n")
    assert list(transcript.lines()) == [("In", "AUTH PLAIN (not shown)"), ("Out", "535 5.7.8 no")]
    for _ in range(2 * LINES_LIMIT):
        transcript.heard("NOOP \x07")
    assert len(transcript) == LINES_LIMIT
    assert list(transcript.lines())[-1] == ("In", "NOOP ?")
