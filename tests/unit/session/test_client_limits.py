"""Connections and events counted per client."""

from posthouse.session.smtp.client_limits import ClientLimits
from posthouse.session.smtp.footer import add_footer, expand_footer
from posthouse.session.smtp.received import DateText, address_literal, protocol_word
from posthouse.wire.smtp.reply import Reply


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_open_connections_are_counted_per_service_and_address() -> None:
    limits = ClientLimits(Clock())
    assert limits.connected("smtp", "1.2.3.4") == (1, 1)
    assert limits.connected("smtp", "1.2.3.4") == (2, 2)
    assert limits.connected("submission", "1.2.3.4") == (1, 1)
    limits.disconnected("smtp", "1.2.3.4")
    assert limits.connected("smtp", "1.2.3.4") == (2, 3)


def test_rates_start_again_after_the_time_unit() -> None:
    clock = Clock()
    limits = ClientLimits(clock, 60)
    assert [limits.count("smtp", "::1", "message") for _ in range(3)] == [1, 2, 3]
    clock.now += 59.9
    assert limits.count("smtp", "::1", "message") == 4
    clock.now += 0.2
    assert limits.count("smtp", "::1", "message") == 1
    assert limits.count("smtp", "::1", "recipient") == 1


def test_idle_clients_are_forgotten() -> None:
    clock = Clock()
    limits = ClientLimits(clock, 60)
    limits.connected("smtp", "::1")
    clock.now += 61
    limits.disconnected("smtp", "::1")
    assert not limits._clients


def test_a_footer_is_a_line_of_its_own_or_continues_one() -> None:
    reply = Reply(550, "5.1.1", "no")
    assert bytes(add_footer(reply, "call us")) == b"550-5.1.1 no\r\n550 5.1.1 call us\r\n"
    assert bytes(add_footer(reply, "\\c, call")) == b"550 5.1.1 no, call\r\n"


def test_an_unknown_name_in_a_footer_is_empty_and_warned_of() -> None:
    warnings: list[str] = []
    text = expand_footer("${client_name} $domain; $$x", {"client_name": "c"}, warnings.append)
    assert text == "c ; $x"
    assert warnings == ['unknown macro name "domain" in expansion request']


def test_dates_are_those_of_mail() -> None:
    text = DateText().at(0)
    assert text[:5] in ("Thu, ", "Wed, ") and text.endswith(")")
    assert (text[6] == " " or text[5] != "0") and (" 1970 " in text or " 1969 " in text)


def test_protocol_words() -> None:
    assert protocol_word("ESMTP", tls=True, authenticated=True, smtputf8=False) == "ESMTPSA"
    assert protocol_word("SMTP", tls=False, authenticated=False, smtputf8=False) == "SMTP"
    assert protocol_word("ESMTP", tls=True, authenticated=False, smtputf8=True) == "UTF8SMTPS"
    assert address_literal("::1") == "IPv6:::1"
