"""What the schedule reads from main.cf: qmgr(8)'s parameters, and each transport's own."""

from dataclasses import dataclass, field

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """Parameters of the queue as a whole."""

    qmgr_message_active_limit: int = 20_000
    qmgr_message_recipient_limit: int = 20_000
    minimal_backoff_time: int = 300
    maximal_backoff_time: int = 4000
    queue_run_delay: int = 300
    maximal_queue_lifetime: int = 5 * 86_400
    bounce_queue_lifetime: int = 5 * 86_400
    delay_warning_time: int = 0
    defer_transports: tuple[str, ...] = ()
    soft_bounce: bool = False
    delay_logging_resolution_limit: int = 2
    default_filter_nexthop: str = ""
    double_bounce_sender: str = "double-bounce"
    address_verify_sender: str = "double-bounce"
    address_verify_sender_ttl: int = 0


def _of(suffix: str) -> dict[str, str]:
    return {"parameter": suffix}


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Parameters of one transport: <transport>_destination_concurrency_limit and its like."""

    concurrency_limit: int = field(default=20, metadata=_of("_destination_concurrency_limit"))
    initial_concurrency: int = field(default=5, metadata=_of("_initial_destination_concurrency"))
    positive_feedback: str = field(default="1", metadata=_of("_destination_concurrency_positive_feedback"))
    negative_feedback: str = field(default="1", metadata=_of("_destination_concurrency_negative_feedback"))
    failed_cohort_limit: int = field(default=1, metadata=_of("_destination_concurrency_failed_cohort_limit"))
    recipient_limit: int = field(default=50, metadata=_of("_destination_recipient_limit"))
    rate_delay: int = field(default=0, metadata=_of("_destination_rate_delay"))
    transport_rate_delay: int = field(default=0, metadata=_of("_transport_rate_delay"))
    slot_cost: int = field(default=5, metadata=_of("_delivery_slot_cost"))
    slot_loan: int = field(default=3, metadata=_of("_delivery_slot_loan"))
    slot_discount: int = field(default=50, metadata=_of("_delivery_slot_discount"))
    minimum_slots: int = field(default=3, metadata=_of("_minimum_delivery_slots"))


def read_transport_settings(configuration: Configuration, transport: str) -> TransportSettings:
    """The parameters of the transport with that master.cf service name."""
    return read_settings(TransportSettings, configuration, lambda suffix: transport + suffix)
