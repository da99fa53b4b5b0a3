"""Who may look at and flush the queue: authorized_mailq_users and authorized_flush_users."""

import pwd

from posthouse.config.configuration import Configuration
from posthouse.intake.submit_users import SubmitUsers
from posthouse.net.connection import TcpStream
from posthouse.schedule.control import QueueControl, serve_control
from posthouse.tables.table import TableRetry


class QueueRights:
    """Serves the control socket with the caller's rights."""

    def __init__(self, configuration: Configuration, control: QueueControl, owners: frozenset[int]) -> None:
        """`owners`: the uids of root and mail_owner, who may do everything."""
        self._control = control
        self._owners = owners
        self._lists = {
            "mailq": SubmitUsers(configuration.words("authorized_mailq_users"), configuration),
            "flush": SubmitUsers(configuration.words("authorized_flush_users"), configuration),
        }

    async def serve(self, stream: TcpStream, uid: int) -> None:
        """One connection."""
        try:
            user = pwd.getpwuid(uid).pw_name
        except KeyError:
            user = str(uid)
        granted = set(self._lists) | {"owner"} if uid in self._owners else set()
        if not granted:
            for right, users in self._lists.items():
                try:
                    if await users.allows(user):
                        granted.add(right)
                except TableRetry:
                    continue  # Who cannot be looked up is not let in.
        await serve_control(stream, self._control, granted.__contains__, user)
