"""A DeliveryRequest's recipient as an errand, and a report as Outcomes: shared by the agents that use hands."""

from posthouse.envelope.envelope import LOCAL_CLIENT, Client
from posthouse.envelope.outcome import Outcome
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.transport.hands import Errand, Report


def errand_of(
    request: DeliveryRequest,
    operation: str,
    service: str,
    names: tuple[str, ...],
    queued: QueuedRecipient,
    extension: str = "",
    originals: tuple[str, ...] = (),
    delivered_to: str = "",
) -> Errand:
    """The errand for these names; `queued` gives the addresses for Delivered-To (but for `delivered_to`) and
    X-Original-To."""
    client = request.client
    if client == LOCAL_CLIENT:
        # pipe(8), local(8): for a message that was submitted here nothing is known of a client.
        client = Client(name="", address="", reverse_name="")
    return Errand(
        operation=operation,
        service=service,
        names=names,
        queue_id=request.queue_id,
        sender=request.sender,
        recipient=queued.recipient.address,
        original_recipient=queued.recipient.original,
        arrival_time=request.arrival_time,
        size=request.content.size,
        extension=extension,
        nexthop=request.nexthop,
        client_name=client.name,
        client_address=client.address,
        client_helo=client.helo,
        client_port=client.port,
        client_protocol=client.protocol,
        sasl_method=client.sasl_method,
        sasl_sender=client.sasl_sender,
        sasl_username=client.sasl_username,
        originals=originals,
        delivered_to=delivered_to,
    )


def outcomes(report: Report, indexes: tuple[int, ...], relay: str) -> list[Outcome]:
    """The results as Outcomes: result.index counts within `indexes`."""
    return [Outcome(indexes[result.index], result.fate, result.dsn, relay) for result in report.results]
