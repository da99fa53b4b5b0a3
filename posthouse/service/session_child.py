"""A keeper's child that speaks IMAP and POP3 for one system user, over plain streams that the access worker feeds."""

import socket

from posthouse.host.users import Identity
from posthouse.service.child import Inheritance
from posthouse.service.hands import Workbench


def serve_sessions(requests: socket.socket, inheritance: Inheritance, workbench: Workbench, identity: Identity) -> int:
    """Serve until the parent closes its end and the last session has ended."""
    return 1
