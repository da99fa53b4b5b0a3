"""Tickets of a listener, as main.cf has them."""

import ssl
from pathlib import Path

import pytest

from posthouse.config.configuration import Configuration
from posthouse.net.openssl import set_ticket_keys
from posthouse.net.ticket_secret import TicketSecret
from posthouse.net.tickets import Tickets
from posthouse.session.smtp.session_tickets import arrange_tickets


def arranged(settings: dict[str, str], tickets: Tickets | None = None) -> tuple[ssl.SSLContext, list[str]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    warnings: list[str] = []
    configuration = Configuration("/nowhere", {}).with_overrides(settings, "test")
    assert arrange_tickets(context, configuration, tickets, "smtp", warnings.append) is context
    return context, warnings


def test_one_ticket_is_given_by_default() -> None:
    context, warnings = arranged({})
    assert (context.num_tickets, bool(context.options & ssl.OP_NO_TICKET), warnings) == (1, False, [])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("smtpd_tls_session_cache_timeout", "0", []),
        ("tls_session_ticket_cipher", "", []),
        # Postfix 3.7's own words.
        (
            "tls_session_ticket_cipher",
            "foo",
            ["tls_session_ticket_cipher: invalid value: foo; session tickets disabled"],
        ),
        (
            "tls_session_ticket_cipher",
            "aes-256-gcm",
            ["tls_session_ticket_cipher: invalid value: aes-256-gcm; session tickets disabled"],
        ),
    ],
)
def test_what_switches_tickets_off(name: str, value: str, said: list[str]) -> None:
    context, warnings = arranged({name: value})
    assert (context.num_tickets, bool(context.options & ssl.OP_NO_TICKET), warnings) == (0, True, said)


def test_another_cipher_is_named() -> None:
    _, warnings = arranged({"tls_session_ticket_cipher": "aes-128-cbc"})
    assert warnings == ["tls_session_ticket_cipher = aes-128-cbc: aes-256-cbc is used"]


def test_who_must_show_a_certificate_has_tickets_of_his_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[bytes] = []

    def note(context: ssl.SSLContext, keys: bytes) -> bool:
        given.append(keys)
        return set_ticket_keys(context, keys)

    monkeypatch.setattr("posthouse.net.tickets.set_ticket_keys", note)
    tickets = Tickets(TicketSecret(b"s" * 32, 100.0, 0.0), lambda: 0.0)
    for settings in ({}, {"smtpd_tls_CAfile": "/x"}, {"smtpd_tls_req_ccert": "yes"}, {"smtpd_tls_ask_ccert": "yes"}):
        arranged(settings, tickets)
    assert [len(keys) for keys in given] == [80] * 4
    assert given[0] == given[1]
    assert len(set(given)) == 3


def test_without_tls_there_is_nothing_to_do() -> None:
    assert arrange_tickets(None, Configuration("/nowhere", {}), None, "smtp", print) is None
