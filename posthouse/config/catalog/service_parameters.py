"""Parameters that a service of master.cf brings along: <transport>_destination_rate_delay and its like.

Every delivery agent brings the first list, pipe and spawn services the time limit as well.
"""

from posthouse.config.parameter import Parameter

TRANSPORT_SUFFIXES: tuple[tuple[str, str, str], ...] = (
    ("_delivery_slot_cost", "int", "$default_delivery_slot_cost"),
    ("_delivery_slot_discount", "int", "$default_delivery_slot_discount"),
    ("_delivery_slot_loan", "int", "$default_delivery_slot_loan"),
    (
        "_destination_concurrency_failed_cohort_limit",
        "int",
        "$default_destination_concurrency_failed_cohort_limit",
    ),
    ("_destination_concurrency_limit", "int", "$default_destination_concurrency_limit"),
    (
        "_destination_concurrency_negative_feedback",
        "string",
        "$default_destination_concurrency_negative_feedback",
    ),
    (
        "_destination_concurrency_positive_feedback",
        "string",
        "$default_destination_concurrency_positive_feedback",
    ),
    ("_destination_rate_delay", "time", "$default_destination_rate_delay"),
    ("_destination_recipient_limit", "int", "$default_destination_recipient_limit"),
    ("_extra_recipient_limit", "int", "$default_extra_recipient_limit"),
    ("_initial_destination_concurrency", "int", "$initial_destination_concurrency"),
    ("_minimum_delivery_slots", "int", "$default_minimum_delivery_slots"),
    ("_recipient_limit", "int", "$default_recipient_limit"),
    ("_recipient_refill_delay", "time", "$default_recipient_refill_delay"),
    ("_recipient_refill_limit", "int", "$default_recipient_refill_limit"),
    ("_transport_rate_delay", "time", "$default_transport_rate_delay"),
)

TIME_LIMIT_SUFFIX = ("_time_limit", "time", "$command_time_limit")

EXCEPTIONS = {
    "local_destination_concurrency_limit": "2",
    "local_destination_recipient_limit": "1",
}
"""Defaults that differ from the general ones."""

DELIVERY_AGENTS = frozenset({"smtp", "lmtp", "pipe", "local", "virtual", "error", "store"})
"""Commands of master.cf whose unix services are transports."""


def _parameter(service: str, suffix: str, kind: str, default: str) -> Parameter:
    name = service + suffix
    return Parameter(name, kind, EXCEPTIONS.get(name, default), 0, 0, "service")


def service_parameters(service: str, command: str) -> list[Parameter]:
    """The parameters that a service of master.cf brings along; none when it is no transport."""
    found = []
    if command in DELIVERY_AGENTS:
        found = [_parameter(service, *row) for row in TRANSPORT_SUFFIXES]
    if command in {"pipe", "spawn"}:
        found.append(_parameter(service, *TIME_LIMIT_SUFFIX))
    return found


def guess_service_parameter(name: str) -> Parameter | None:
    """The parameter of that name if some service could bring it, by its ending; the longest ending counts."""
    best: Parameter | None = None
    length = 0
    for suffix, kind, default in (*TRANSPORT_SUFFIXES, TIME_LIMIT_SUFFIX):
        if len(suffix) > length and len(name) > len(suffix) and name.endswith(suffix):
            best, length = _parameter(name[: -len(suffix)], suffix, kind, default), len(suffix)
    return best
