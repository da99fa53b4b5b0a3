"""A listener whose configuration is wrong: it says so in the log at each connection, and closes it.

Postfix's smtpd ends with the same line each time a client connects; the rest of the system runs on.
"""

from posthouse.host.log import ProcessLog
from posthouse.net.connection import TcpStream


class UnservedListener:
    """Stands in for a listener that could not be set up."""

    def __init__(self, reason: str, log: ProcessLog) -> None:
        self._reason = reason
        self._log = log

    async def on_stream(self, stream: TcpStream) -> None:
        """No session: nothing is accepted by a configuration that cannot be read."""
        self._log.fatal(self._reason)
        stream.close()
