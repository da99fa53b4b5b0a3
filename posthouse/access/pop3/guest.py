"""A client that has not logged in: what its verbs know and change."""

from posthouse.access.pop3.conversation import Conversation
from posthouse.access.pop3.service import Pop3Service
from posthouse.host.log import ProcessLog


class Guest:
    """One connection before its login."""

    __slots__ = ("address", "client_name", "conversation", "log", "service", "timestamp", "user")

    def __init__(
        self, service: Pop3Service, conversation: Conversation, log: ProcessLog, client_name: str, address: str
    ) -> None:
        self.service = service
        self.conversation = conversation
        self.log = log
        self.client_name = client_name
        self.address = address
        self.user = ""
        """What USER said."""
        self.timestamp = ""
        """APOP's timestamp as the greeting had it, or ""."""

    @property
    def client(self) -> str:
        """ "host[address]", for the log."""
        return f"{self.client_name}[{self.address}]"

    @property
    def stls_offered(self) -> bool:
        """Whether STLS may come now."""
        service = self.service
        return service.settings.tls_offered and service.tls_context is not None and self.conversation.stream.tls is None

    @property
    def login_allowed(self) -> bool:
        """Whether a login may come now: in plain text only where the operator said so."""
        settings = self.service.settings
        plain_allowed = not settings.pop3d_tls_auth_only and not settings.tls_required
        return self.conversation.stream.tls is not None or plain_allowed
