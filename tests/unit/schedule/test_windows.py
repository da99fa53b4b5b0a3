import pytest

from posthouse.config.error import ConfigError
from posthouse.config.read import read_configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.envelope import Envelope
from posthouse.envelope.outcome import Dsn
from posthouse.journal.segments import JournalSettings
from posthouse.queue.local import QueueSettings
from posthouse.queue.store import QueuedMessage
from posthouse.schedule.backoff import ClockWatch, is_expired, next_attempt
from posthouse.schedule.delivery_log import delivery_line, format_delay
from posthouse.schedule.destination import Destination
from posthouse.schedule.feedback import Feedback, parse_feedback
from posthouse.schedule.preempt import DeliverySlots
from posthouse.schedule.settings import ScheduleSettings, TransportSettings, read_transport_settings

LATER = Dsn("4.4.1", "timed out")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", Feedback(1.0)),
        ("0.5", Feedback(0.5)),
        ("1/concurrency", Feedback(1.0, "concurrency")),
        ("0.5 / sqrt_concurrency", Feedback(0.5, "sqrt_concurrency")),
    ],
)
def test_feedback_is_read_as_main_cf_spells_it(text: str, expected: Feedback) -> None:
    assert parse_feedback(text) == expected


@pytest.mark.parametrize("text", ["", "x", "2", "1/window", "-1"])
def test_other_feedback_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_feedback(text)


def test_feedback_shrinks_with_the_window() -> None:
    assert Feedback(1.0, "concurrency").at(4) == 0.25
    assert Feedback(1.0, "sqrt_concurrency").at(4) == 0.5


def destination(**settings: int) -> Destination:
    return Destination("x", "x", TransportSettings(**settings), Feedback(1.0), Feedback(1.0))  # type: ignore[arg-type]


def test_a_window_grows_with_success_to_its_limit() -> None:
    found = destination(initial_concurrency=5, concurrency_limit=7)
    found.busy = 5
    for _ in range(5):
        found.succeeded()
    assert found.window == 7


def test_a_window_that_is_not_used_does_not_grow() -> None:
    found = destination()
    found.busy = 0
    found.succeeded()
    assert found.window == 5


def test_failures_shrink_the_window_and_a_failed_cohort_closes_it() -> None:
    found = destination(failed_cohort_limit=2)
    assert not found.failed(LATER, 10.0)
    assert found.window == 4
    while not found.failed(LATER, 10.0):
        pass
    assert found.dead_until == 10.0
    assert found.suspension == LATER
    found.revive()
    assert (found.window, found.dead_until, found.suspension) == (5, 0.0, None)


def test_a_rate_delay_makes_the_window_one() -> None:
    assert destination(rate_delay=5).window == 1


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0"),
        (-1, "0"),
        (0.004, "0"),
        (0.014, "0.01"),
        (0.1, "0.1"),
        (0.155, "0.16"),
        (1.04, "1"),
        (1.25, "1.3"),
        (9.96, "10"),
        (12.4, "12"),
        (123.6, "124"),
        (86400.0, "86400"),
    ],
)
def test_delays_have_two_significant_digits(seconds: float, expected: str) -> None:
    assert format_delay(seconds) == expected


def test_a_delivery_line_is_postfixs() -> None:
    assert delivery_line(
        "ID", "b@x", "a@x", "mx[1.2.3.4]:25", 1.5, (0.1, 0.02, 1.2, 0.18), 3, "2.0.0", "sent", "250 ok"
    ) == (
        "ID: to=<b@x>, orig_to=<a@x>, relay=mx[1.2.3.4]:25, conn_use=3, delay=1.5, delays=0.1/0.02/1.2/0.18,"
        " dsn=2.0.0, status=sent (250 ok)"
    )


def test_a_source_route_is_logged_as_it_was_given() -> None:
    line = delivery_line("ID", "q q@x", "@r:q q@x", "none", 1, (0, 0, 0, 1), 1, "2.0.0", "sent", "ok")
    assert line.startswith('ID: to=<"q q"@x>, orig_to=<@r:"q q"@x>, relay=none,')


@pytest.mark.parametrize(("waited", "delay"), [(0, 300), (500, 500), (9999, 4000)])
def test_the_next_attempt_comes_after_as_long_again(waited: float, delay: float) -> None:
    assert next_attempt(1000.0 + waited, 1000.0, ScheduleSettings()) == 1000.0 + waited + delay


def test_bounces_have_a_lifetime_of_their_own() -> None:
    settings = ScheduleSettings(maximal_queue_lifetime=100, bounce_queue_lifetime=10)
    assert is_expired(60.0, QueuedMessage("ID", 0.0, Envelope("", ()), (), 0), settings)
    assert not is_expired(60.0, QueuedMessage("ID", 0.0, Envelope("s@x", ()), (), 0), settings)


def test_a_clock_that_was_set_is_not_trusted_for_one_queue_run() -> None:
    watch = ClockWatch(1000.0, 0.0)
    watch.look(1010.0, 10.0, 300)
    assert watch.trusted(10.0)
    watch.look(9000.0, 20.0, 300)
    assert not watch.trusted(319.0)
    assert watch.trusted(320.0)


def test_small_messages_overtake_as_slots_allow() -> None:
    slots = DeliverySlots(TransportSettings())
    assert not slots.is_large(14)
    assert slots.is_large(15)
    assert [slots.overtake(2) for _ in range(5)] == [True, True, False, False, False]
    for _ in range(50):
        slots.delivered()
    assert slots.overtake(2)
    assert not DeliverySlots(TransportSettings(slot_cost=0)).is_large(1000)


def test_a_transport_without_settings_of_its_own_has_the_defaults(tmp_path) -> None:
    (tmp_path / "main.cf").write_text("default_destination_concurrency_limit = 7\nx_destination_rate_delay = 2s\n")
    configuration = read_configuration(str(tmp_path))
    settings = read_transport_settings(configuration, "x")
    assert (settings.concurrency_limit, settings.rate_delay, settings.recipient_limit) == (7, 2, 50)
    assert read_transport_settings(configuration, "local").recipient_limit == 1


def test_settings_are_read_from_main_cf(tmp_path) -> None:
    (tmp_path / "main.cf").write_text(
        "defer_transports = smtp, relay\nmaximal_queue_lifetime = 1d\nqueue_minfree = 5\n"
    )
    configuration = read_configuration(str(tmp_path))
    assert read_settings(ScheduleSettings, configuration) == ScheduleSettings(
        defer_transports=("smtp", "relay"), maximal_queue_lifetime=86_400
    )
    assert read_settings(QueueSettings, configuration) == QueueSettings(queue_minfree=5)
    assert read_settings(JournalSettings, configuration) == JournalSettings()
