"""The server side of the intake socket: one submission per connection, one reply after the commit.

Who asks is what the kernel says (SO_PEERCRED), never what the bytes say. Only the house's own
user and root may hand over forwards and notices; others' mail is "pickup".
"""

import pwd
import socket
import struct
import time

from posthouse.intake.local_submission import LocalSubmission
from posthouse.intake.submit_users import SubmitUsers
from posthouse.intake.transaction import Accepted
from posthouse.intake.writing import CleanupTransaction
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout
from posthouse.tables.table import TableRetry
from posthouse.wire.intake import (
    UNCHECKED,
    End,
    IntakeProtocolError,
    Submission,
    SubmissionReader,
    encode_accepted,
    encode_refused,
)

READ_TIMEOUT = 300.0
"""Seconds for the next bytes: people type messages by hand; RFC 5321 section 4.5.3.2.5 gives 3 minutes."""
WRITE_TIMEOUT = 60.0
"""Seconds for the reply to be taken."""


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a Unix socket, as the kernel knows it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


class IntakeSocket:
    """Serves connections."""

    def __init__(self, submissions: LocalSubmission, users: SubmitUsers, trusted: frozenset[int]) -> None:
        """`trusted`: the uids of root and mail_owner."""
        self._submissions = submissions
        self._users = users
        self._trusted = trusted

    async def serve(self, stream: Stream, uid: int) -> None:
        """One connection from its first byte to its reply."""
        transaction: CleanupTransaction | None = None
        try:
            reader = SubmissionReader()
            submission: Submission | None = None
            refusal = b""
            while True:
                data = await stream.read(READ_TIMEOUT)
                if not data:
                    return
                reader.receive_data(data)
                while (event := reader.next_event()) is not None:
                    if isinstance(event, Submission):
                        submission = event
                        refusal = await self._refusal(submission, uid)
                        if not refusal:
                            transaction = self._submissions.begin(submission)
                    elif isinstance(event, bytes):
                        if transaction is not None:
                            await transaction.write(event)
                    else:
                        assert isinstance(event, End)
                        if transaction is not None and submission is not None:
                            refusal = await self._commit(transaction, submission, uid)
                            transaction = None
                        stream.write(refusal)
                        await stream.drain(WRITE_TIMEOUT)
                        return
        except IntakeProtocolError as error:
            stream.write(encode_refused(501, "5.5.4", str(error)))
        except (StreamClosed, StreamTimeout):
            pass
        finally:
            if transaction is not None:
                transaction.abort()
            stream.close()

    async def _commit(self, transaction: CleanupTransaction, submission: Submission, uid: int) -> bytes:
        result = await self._submissions.commit(transaction, submission, uid, time.time())
        if isinstance(result, Accepted):
            return encode_accepted(result.queue_id)
        return encode_refused(result.code, result.status, result.text)

    async def _refusal(self, submission: Submission, uid: int) -> bytes:
        """The reply that refuses this caller, or b""."""
        if uid in self._trusted:
            if self._submissions.knows(submission.source):
                return b""
            return encode_refused(501, "5.5.4", f"unknown source {submission.source}")
        if submission.source != "pickup":
            return encode_refused(550, "5.7.1", "service denied")
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = "unknown"
        try:
            if await self._users.allows(name):
                return b""
        except TableRetry:
            return encode_refused(UNCHECKED, "4.3.0", "Temporary lookup failure")
        return encode_refused(550, "5.7.1", f"User {name}({uid}) is not allowed to submit mail")
