"""What becomes of a submission made on this machine: pickup's part before cleanup's.

The sender is as given (unqualified names are completed by intake); the Received field names
the user's number, or none when the house itself made the message. One log line, in pickup's words.
"""

from dataclasses import dataclass

from posthouse.address.local_part import quote_address
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.envelope import LOCAL_CLIENT, Envelope
from posthouse.host.log import ProcessLog
from posthouse.intake.cleanup import CleanupIntake
from posthouse.intake.service import GiveBack
from posthouse.intake.stamp import DateStamp
from posthouse.intake.transaction import Accepted, Handling, Refused
from posthouse.intake.writing import CleanupTransaction
from posthouse.message.received import received_local
from posthouse.wire.intake import Submission

NO_HANDLING = Handling()


@dataclass(frozen=True, slots=True)
class PickupSettings:
    """What pickup reads."""

    myhostname: str
    mail_name: str
    smtputf8_enable: bool
    smtputf8_autodetect_classes: tuple[str, ...]


class LocalSubmission:
    """The door for mail from this machine: one CleanupIntake per source (pickup, forward, bounce, notify)."""

    def __init__(
        self,
        settings: PickupSettings,
        intakes: dict[str, CleanupIntake],
        log: ProcessLog,
        give_back: GiveBack | None = None,
    ) -> None:
        self._settings = settings
        self._intakes = intakes
        self._log = log
        self._give_back = give_back
        self._date = DateStamp()

    @classmethod
    def open(
        cls,
        configuration: Configuration,
        intakes: dict[str, CleanupIntake],
        log: ProcessLog,
        give_back: GiveBack | None = None,
    ) -> "LocalSubmission":
        """From main.cf; `log` is pickup's. `give_back` returns users' mail that content checks reject to its sender;
        without it the submitter is told at once."""
        return cls(read_settings(PickupSettings, configuration), intakes, log, give_back)

    def begin(self, submission: Submission) -> CleanupTransaction:
        """A transaction for the content of a submission."""
        return self._intakes[submission.source].begin()

    def knows(self, source: str) -> bool:
        """Whether there is a door for that source."""
        return source in self._intakes

    async def commit(
        self, transaction: CleanupTransaction, submission: Submission, uid: int, arrival_time: float
    ) -> Accepted | Refused:
        """The submission is complete: log it, make it durable."""
        settings, queue_id = self._settings, transaction.queue_id
        users = submission.source == "pickup"
        if users:
            self._log.info(f"{queue_id}: uid={uid} from=<{quote_address(submission.sender)}>")
        received = received_local(
            hostname=settings.myhostname,
            mail_name=settings.mail_name,
            queue_id=queue_id,
            date=self._date(arrival_time),
            uid=uid if users else None,
        )
        envelope = Envelope(
            sender=submission.sender,
            recipients=submission.recipients,
            client=LOCAL_CLIENT,
            local_rewrite=submission.local_rewrite,
            ret=submission.ret,
            envid=submission.envid,
            smtputf8=submission.smtputf8,
            body=submission.body,
            verp=submission.verp,
            trace=submission.trace,
        )
        give_back = self._give_back if users else None
        return await transaction.commit(
            envelope,
            received,
            NO_HANDLING,
            full_name=submission.full_name,
            give_back=give_back,
            detect_smtputf8=self._detects(submission.source),
        )

    def _detects(self, source: str) -> bool:
        """smtputf8_autodetect_classes: "sendmail" stands for users' mail."""
        classes = self._settings.smtputf8_autodetect_classes
        word = "sendmail" if source == "pickup" else source
        return self._settings.smtputf8_enable and (word in classes or "all" in classes)
