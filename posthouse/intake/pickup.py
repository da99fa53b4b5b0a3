"""pickup: what lies in the maildrop enters the queue.

Run at start, at each wakeup and when triggered. A file is opened without following links; it
must be a regular, complete file with one name; its owner is the sender's user; its size is
bounded. It is removed after the commit, so a crash between the two can bring a message twice,
never lose it. A file that is no submission, or whose message is refused for good, is logged and
removed, as Postfix does. Files that Postfix's own postdrop and postsuper left are read as well;
one of these that is damaged stays, as its sender believes it sent.
"""

import asyncio
import os

from posthouse.host.file_buffer import FileBuffer
from posthouse.host.log import ProcessLog
from posthouse.host.maildrop import Dropped, NotADrop, dropped, open_drop
from posthouse.intake.local_submission import LocalSubmission
from posthouse.intake.transaction import Accepted, Refused
from posthouse.intake.writing import CleanupTransaction
from posthouse.wire.intake import HEADING, IntakeProtocolError, Submission, SubmissionReader
from posthouse.wire.queue_file import DamagedQueueFile, content_pieces, parse_queue_file, submission_of

OVERHEAD = 1.2
"""A file may be this many times message_size_limit: frames and a long list of recipients come on top."""
ENVELOPE_ROOM = 8 * 1024 * 1024
"""Bytes added to that for the envelope."""
PIECE = 65536
"""Bytes read at a time."""


class Pickup:
    """Empties a maildrop."""

    def __init__(
        self,
        queue_directory: str,
        submissions: LocalSubmission,
        log: ProcessLog,
        message_size_limit: int,
        trusted: frozenset[int],
    ) -> None:
        """`trusted`: the uids of root and mail_owner, who may leave forwards and notices."""
        self._queue_directory = queue_directory
        self._submissions = submissions
        self._log = log
        self._limit = int(message_size_limit * OVERHEAD) + ENVELOPE_ROOM if message_size_limit else 0
        self._trusted = trusted
        self._running = asyncio.Lock()

    async def run(self) -> int:
        """Take everything that is there; returns how many messages entered the queue."""
        taken = 0
        async with self._running:
            try:
                waiting = await asyncio.to_thread(dropped, self._queue_directory)
            except OSError as error:
                self._log.warning(f"maildrop: {error.strerror}")
                return 0
            for one in waiting:
                taking = asyncio.ensure_future(self._take(one))
                try:
                    await asyncio.wait([taking])
                finally:
                    taking.cancel()
                fault = taking.exception()
                if fault is None:
                    taken += taking.result()
                else:  # Ours: the file stays, and does not keep back those behind it.
                    self._log.error(f"maildrop/{one.queue_id}: {type(fault).__name__}: {fault}")
        return taken

    async def _take(self, one: Dropped) -> bool:
        try:
            descriptor, status = open_drop(one.path, self._limit)
        except NotADrop as error:
            self._log.warning(f"maildrop {os.path.basename(one.path)}: {error}")
            return False
        except FileNotFoundError:
            return False
        except OSError as error:
            self._log.warning(f"maildrop {os.path.basename(one.path)}: {error.strerror}")
            return False
        transaction: CleanupTransaction | None = None
        with os.fdopen(descriptor, "rb") as file:
            try:
                reader = SubmissionReader()
                submission: Submission | None = None
                if (begun := file.read(len(HEADING))) != HEADING:
                    if begun[:1] not in (b"T", b"C"):
                        raise IntakeProtocolError("no maildrop file")
                    return await self._take_postfix(one, descriptor, status)
                while data := await asyncio.to_thread(file.read, PIECE):
                    reader.receive_data(data)
                    while (event := reader.next_event()) is not None:
                        if isinstance(event, Submission):
                            submission = event
                            self._check(submission, status.st_uid)
                            transaction = self._submissions.begin(submission)
                        elif isinstance(event, bytes):
                            assert transaction is not None
                            await transaction.write(event)
                        elif transaction is not None and submission is not None:
                            whole, transaction = transaction, None
                            result = await self._submissions.commit(whole, submission, status.st_uid, status.st_mtime)
                            return self._settle(one, result)
                raise IntakeProtocolError("cut short")
            except IntakeProtocolError as error:
                self._log.warning(f"maildrop/{one.queue_id}: {error}: removed")
                self._remove(one)
                return False
            finally:
                if transaction is not None:
                    transaction.abort()

    def _settle(self, one: Dropped, result: Accepted | Refused) -> bool:
        if isinstance(result, Accepted):
            self._remove(one)
            return True
        if result.code >= 500:
            self._log.warning(f"maildrop/{one.queue_id}: {result.code} {result.status} {result.text}")
            self._remove(one)
        return False  # Else it stays for the next time; who did not want it has said so in the log.

    async def _take_postfix(self, one: Dropped, descriptor: int, status: os.stat_result) -> bool:
        """A file in Postfix's format. What only cleanup writes into one counts from root and mail_owner alone."""
        buffer = FileBuffer(descriptor, status.st_size)
        transaction: CleanupTransaction | None = None
        try:
            file = await asyncio.to_thread(parse_queue_file, buffer)
            submission = submission_of(file)
            if file.queued and status.st_uid not in self._trusted:
                raise DamagedQueueFile(f"uid {status.st_uid} may not leave a file of the queue")
            transaction = self._submissions.begin(submission)
            pieces = content_pieces(buffer, file)
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                await transaction.write(piece)
            whole, transaction = transaction, None
            arrival_time = file.arrival_time or status.st_mtime
            return self._settle(one, await self._submissions.commit(whole, submission, status.st_uid, arrival_time))
        except DamagedQueueFile as error:
            self._log.warning(f"maildrop/{one.queue_id}: {error}: left")
            return False
        finally:
            if transaction is not None:
                transaction.abort()

    def _check(self, submission: Submission, uid: int) -> None:
        if submission.source != "pickup" and uid not in self._trusted:
            raise IntakeProtocolError(f"uid {uid} may not leave a {submission.source}")
        if not self._submissions.knows(submission.source):
            raise IntakeProtocolError(f"unknown source {submission.source}")

    def _remove(self, one: Dropped) -> None:
        try:
            os.unlink(one.path)
        except OSError as error:
            self._log.warning(f"remove maildrop/{one.queue_id}: {error.strerror}")
