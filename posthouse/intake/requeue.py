"""A queued message that comes in anew (postsuper -r): pickup's part, and cleanup once more.

As in Postfix: a new queue id and a Received field of the queue's owner; the time of arrival, the client, the context
of rewriting and the wishes for notices stay. Recipients are rewritten, copied and expanded from what they are now,
header and body are checked again; the content filter is that of mail from this machine, and milters are not asked.
"""

from collections.abc import Sequence
from dataclasses import replace

from posthouse.address.local_part import quote_address
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.content import Content
from posthouse.host.log import ProcessLog
from posthouse.intake.cleanup import CleanupIntake
from posthouse.intake.local_submission import NO_HANDLING, PickupSettings
from posthouse.intake.service import GiveBack
from posthouse.intake.stamp import DateStamp
from posthouse.intake.transaction import Refused
from posthouse.message.received import received_local
from posthouse.queue.store import QueuedMessage, StoredRecipient


class Requeue:
    """The door for messages that are in the queue already."""

    def __init__(
        self, configuration: Configuration, intake: CleanupIntake, log: ProcessLog, give_back: GiveBack, owner: int
    ) -> None:
        """`intake` is pickup's, without milters; `log` is pickup's, `owner` the uid of mail_owner. `give_back` returns
        what content checks reject to its sender."""
        self._settings = read_settings(PickupSettings, configuration)
        self._intake = intake
        self._log = log
        self._give_back = give_back
        self._owner = owner
        self._date = DateStamp()

    async def bring(
        self, message: QueuedMessage, recipients: Sequence[StoredRecipient], content: Content
    ) -> Refused | None:
        """Queue it for these recipients in the place of the old one, or return it; None when that is durable.
        Raises QueueFull and QueueFault when a notice could not be queued."""
        transaction = self._intake.begin(message.arrival_time)
        sender, queue_id = message.envelope.sender, transaction.queue_id
        self._log.info(f"{queue_id}: uid={self._owner} from=<{quote_address(sender)}> orig_id={message.queue_id}")
        received = received_local(
            hostname=self._settings.myhostname,
            mail_name=self._settings.mail_name,
            queue_id=queue_id,
            date=self._date(self._intake.now()),
            uid=self._owner,
        )
        try:
            await transaction.write(content.header + b"\r\n")
            async for chunk in content.body.chunks():
                await transaction.write(chunk)
            result = await transaction.commit(
                replace(message.envelope, recipients=tuple([stored.recipient for stored in recipients])),
                received,
                NO_HANDLING,
                give_back=self._give_back,
                replaces=message.queue_id,
            )
        except BaseException:
            transaction.abort()
            raise
        return result if isinstance(result, Refused) else None
