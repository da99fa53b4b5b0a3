"""Session tickets over several contexts: made by one, taken by another, and no longer after the next step."""

import ssl
from pathlib import Path

import pytest

from posthouse.net.openssl import set_session_lifetime, set_ticket_keys
from posthouse.net.ticket_secret import TicketSecret
from posthouse.net.tickets import Tickets, issue_none, issue_tickets
from posthouse.net.tls import KeyPair, client_context, server_context
from posthouse.net.tls_layer import TlsLayer
from posthouse.testkit.certificate import write_certificate


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    folder = tmp_path_factory.mktemp("pair")
    write_certificate(folder, "mail.test", "127.0.0.1")
    return KeyPair((folder / "cert.pem").read_bytes(), (folder / "key.pem").read_bytes())


def meet(client: TlsLayer, server: TlsLayer) -> None:
    """Hand-shake, and a greeting of the server, behind which its tickets have come."""
    done = [False, False]
    while not all(done):
        done[0] = client.handshake()
        server.feed(client.ciphertext())
        done[1] = server.handshake()
        client.feed(server.ciphertext())
    client.feed(server.write(b"220 hello\r\n"))
    assert client.read() == b"220 hello\r\n"


class Visitor:
    """A client that comes again with the session that it was given."""

    def __init__(self, protocols: str) -> None:
        self._context = client_context(protocols=protocols)
        self._session: ssl.SSLSession | None = None

    def visits(self, context: ssl.SSLContext) -> bool:
        """Whether both say that the session went on."""
        client = TlsLayer(self._context, server_side=False, server_name="mail.test", session=self._session)
        server = TlsLayer(context, server_side=True, server_name="")
        meet(client, server)
        resumed = client.info(verified=False).resumed
        assert resumed == server.info(verified=False).resumed
        self._session = client.session()
        return resumed


def secret(byte: bytes = b"s", step: float = 100.0) -> TicketSecret:
    return TicketSecret(byte * 32, step, 0.0)


class Worker:
    """What one process has: contexts of its own, the secret by inheritance."""

    def __init__(self, pair: KeyPair, inherited: TicketSecret, label: str = "smtp") -> None:
        self.now = 0.0
        self.context = server_context([pair])
        issue_tickets(self.context, 7200)
        self.tickets = Tickets(inherited, lambda: self.now)
        assert self.tickets.share(self.context, label)


@pytest.mark.parametrize("protocols", ["TLSv1.2", "TLSv1.3"])
def test_a_ticket_of_one_worker_is_good_at_another(pair: KeyPair, protocols: str) -> None:
    first, second = Worker(pair, secret()), Worker(pair, secret())
    visitor = Visitor(protocols)
    assert [visitor.visits(w.context) for w in (first, second, first, second)] == [False, True, True, True]


def test_without_shared_keys_it_is_not(pair: KeyPair) -> None:
    visitor = Visitor("TLSv1.3")
    assert [visitor.visits(server_context([pair])) for _ in range(2)] == [False, False]


def test_listeners_with_another_label_have_other_keys(pair: KeyPair) -> None:
    visitor = Visitor("TLSv1.3")
    workers = Worker(pair, secret(), "smtp"), Worker(pair, secret(), "submission")
    assert [visitor.visits(worker.context) for worker in workers] == [False, False]


def test_workers_take_the_next_step_together(pair: KeyPair) -> None:
    first, second = Worker(pair, secret()), Worker(pair, secret())
    visitor = Visitor("TLSv1.3")
    assert not visitor.visits(first.context)
    for worker in (first, second):
        worker.now = 99.0
        worker.tickets.renew()
    assert visitor.visits(second.context)
    for worker in (first, second):
        worker.now = 100.5
        worker.tickets.renew()
    assert not visitor.visits(first.context)
    assert visitor.visits(second.context)


def test_a_worker_born_later_is_at_the_same_step(pair: KeyPair) -> None:
    inherited = secret()
    first = Worker(pair, secret())
    first.now = 1234.0
    first.tickets.renew()
    inherited.advance(1234.0)
    second = Worker(pair, inherited)
    visitor = Visitor("TLSv1.3")
    assert [visitor.visits(first.context), visitor.visits(second.context)] == [False, True]


def test_no_tickets_no_session(pair: KeyPair) -> None:
    context = server_context([pair])
    issue_none(context)
    for protocols in ("TLSv1.2", "TLSv1.3"):
        visitor = Visitor(protocols)
        other = server_context([pair])
        issue_none(other)
        assert [visitor.visits(context), visitor.visits(other)] == [False, False]


def test_the_steps_of_a_secret_are_each_the_hash_of_the_one_before() -> None:
    one, other = secret(), secret()
    first = one.keys("smtp")
    assert one.advance(99.9) == 0
    assert one.keys("smtp") == first
    assert one.advance(350.0) == 3
    for now in (100.0, 200.0, 300.0):
        other.advance(now)
    assert one.keys("smtp") == other.keys("smtp") != first
    assert one.until_next(350.0) == 50.0
    assert one.advance(0.0) == 3, "never back"


def test_keys_reach_openssl(pair: KeyPair, tmp_path: Path) -> None:
    context = server_context([pair])
    assert set_ticket_keys(context, b"k" * 80)
    assert set_session_lifetime(context, 600)
    visitor = Visitor("TLSv1.2")
    visitor.visits(context)
    assert visitor._session is not None
    assert visitor._session.ticket_lifetime_hint == 600
