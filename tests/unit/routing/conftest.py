from collections.abc import Callable

import pytest

from posthouse.config.configuration import Configuration
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.routing.router import Router

BASE = {
    "compatibility_level": "3.6",
    "myhostname": "mail.example.com",
    "mydomain": "example.com",
    "myorigin": "example.com",
    "mydestination": "mail.example.com, localhost, example.com",
    "inet_interfaces": "127.0.0.1",
    "append_dot_mydomain": "yes",
    "local_recipient_maps": "",
    "virtual_mailbox_domains": "v.example.com",
    "relay_domains": "rl.example",
    "relayhost": "[192.0.2.1]",
    "recipient_delimiter": "+",
}


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def open_router(sink: MemorySink) -> Callable[..., Router]:
    def make(**settings: str) -> Router:
        configuration = Configuration("/nonexistent", {**BASE, **settings})
        return Router.open(configuration, ProcessLog(sink, "postfix/trivial-rewrite"))

    return make
