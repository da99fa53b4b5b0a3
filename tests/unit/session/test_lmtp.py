"""LMTP transcripts, whole, byte by byte and cut at random, against a door that delivers at once."""

import asyncio
from pathlib import Path

import pytest

from posthouse.envelope.envelope import Envelope
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.intake.transaction import Accepted, Handling, Refused
from posthouse.journal.journal import MemoryJournal
from posthouse.net.pair import stream_pair
from posthouse.session.lmtp.open_service import as_lmtp
from posthouse.session.smtp.listener import SmtpListener
from posthouse.session.smtp.seams import PerRecipient
from posthouse.session.smtp.service import SmtpService
from posthouse.session.smtp.settings import SmtpdSettings
from posthouse.testkit.smtp_parts import MemoryIntake, MemoryStages
from posthouse.testkit.transcript import CUTS, check_log, parse_transcript, play
from posthouse.wire.smtp.reply import Reply

FOLDER = Path(__file__).parents[2] / "transcripts" / "lmtp"
TRANSCRIPTS = {path.stem: parse_transcript(path.read_text()) for path in sorted(FOLDER.glob("*.txt"))}


class DirectMessage:
    queue_id = "4XyZ000001"

    def __init__(self) -> None:
        self.data = b""

    async def write(self, chunk: bytes) -> None:
        self.data += chunk

    async def commit(
        self, envelope: Envelope, received: bytes, handling: Handling
    ) -> Accepted | Refused | PerRecipient:
        if b"refuse me" in self.data:
            return Refused(550, "5.7.1", "message content rejected")
        assert b" with LMTP id " in received
        return PerRecipient(
            tuple(
                Reply(452, "4.2.2", f"<{recipient.address}> Mailbox full")
                if recipient.address.startswith("full")
                else Reply(250, "2.0.0", f"<{recipient.address}> Saved")
                for recipient in envelope.recipients
            )
        )

    def abort(self) -> None:
        pass


class DirectDoor:
    def begin(self) -> DirectMessage:
        return DirectMessage()


def lmtp_service(door: DirectDoor | MemoryIntake, sink: MemorySink) -> SmtpService:
    settings = SmtpdSettings(myhostname="mail.example", smtpd_error_sleep_time=0)
    return as_lmtp(SmtpService(settings, MemoryStages(), door, ProcessLog(sink, "postfix/lmtpd"), MemoryJournal()))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_a_transcript_holds_however_its_bytes_are_cut(name: str, cut: str) -> None:
    sink = MemorySink()
    near, far = stream_pair()
    session = asyncio.create_task(SmtpListener(lmtp_service(DirectDoor(), sink)).on_stream(far))
    async with asyncio.timeout(20):
        await play(TRANSCRIPTS[name], near, cut=cut)
        await session
    check_log(TRANSCRIPTS[name], sink.lines)


async def test_a_door_that_queues_answers_every_recipient_alike() -> None:
    near, far = stream_pair()
    session = asyncio.create_task(SmtpListener(lmtp_service(MemoryIntake(), MemorySink())).on_stream(far))
    near.write(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx: y\r\n.\r\nQUIT\r\n")
    said = b""
    while part := await near.read(5):
        said += part
    await session
    assert said.count(b"250 2.0.0 Ok: queued as 4XyZ000001\r\n") == 2
