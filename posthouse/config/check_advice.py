"""Advice: settings that each are right and together are not."""

from collections.abc import Sequence

from posthouse.config.configuration import Configuration
from posthouse.config.finding import Finding, found
from posthouse.config.master_cf import Service

CLASSES = ("mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains")

RELAY_CONTROLS = frozenset(
    {
        *("reject_unauth_destination", "defer_unauth_destination", "reject", "defer", "defer_if_permit"),
        "check_relay_domains",
    }
)
"""One of these must stand in the relay or the recipient restrictions, or smtpd refuses to serve."""

LIMITS = {
    "mailbox_size_limit": ("local", "local_transport", "mydestination"),
    "virtual_mailbox_limit": ("virtual", "virtual_transport", "virtual_mailbox_domains"),
}
"""Which agent minds a limit, and which parameters give it mail."""


def advice(configuration: Configuration, services: Sequence[Service]) -> list[Finding]:
    """Everything below."""
    findings = [*two_classes(configuration), *sizes(configuration, services), *workers(configuration)]
    for service in services:
        if service.command == "smtpd":
            own = configuration.with_overrides(service.overrides, f"master.cf:{service.line}")
            for finding in relay_control(own):
                if finding not in findings:
                    findings.append(finding)
        elif service.command == "postscreen":
            own = configuration.with_overrides(service.overrides, f"master.cf:{service.line}")
            findings += hand_over(own, services)
    return findings


def hand_over(configuration: Configuration, services: Sequence[Service]) -> list[Finding]:
    """A postscreen without a server behind it turns every client away."""
    name = configuration.value("smtpd_service_name")
    if any(service.name == name and service.type == "pass" and service.command == "smtpd" for service in services):
        return []
    text = f"postscreen hands clients to the service {name} of type pass, and master.cf has none"
    return [found(configuration, "warning", "smtpd_service_name", text)]


def two_classes(configuration: Configuration) -> list[Finding]:
    """A domain in two address classes: mail for it takes the first, and recipients are checked against that alone."""
    findings = []
    where: dict[str, str] = {}
    for name in CLASSES:
        for word in configuration.words(name):
            domain = word.lower()
            if ":" in domain or domain.startswith(("/", "!", ".")):
                continue
            first = where.setdefault(domain, name)
            # relay_domains may list what is served here as well: subdomains are its purpose.
            if first != name and not (name == "relay_domains" and first == "mydestination"):
                text = f"do not list domain {word} in BOTH {first} and {name}"
                findings.append(found(configuration, "warning", name, text))
    return findings


def sizes(configuration: Configuration, services: Sequence[Service]) -> list[Finding]:
    """A mailbox smaller than the largest message: such a message is accepted and can never be delivered."""
    findings = []
    commands = {service.name: service.command for service in services if service.type != "inet"}
    message = configuration.integer("message_size_limit")
    for name, (agent, transport, domains) in LIMITS.items():
        carrier = configuration.value(transport).partition(":")[0]
        if commands.get(carrier, carrier) != agent or not configuration.words(domains):
            continue
        limit = configuration.integer(name)
        if limit > 0 and (message == 0 or limit < message):
            text = f"{name} ({limit}) is smaller than message_size_limit ({message or 'unlimited'})"
            place = name if configuration.is_set(name) else "message_size_limit"
            findings.append(found(configuration, "warning", place, text))
    return findings


def workers(configuration: Configuration) -> list[Finding]:
    """More than one mail worker: limits are divided."""
    count = configuration.integer("posthouse_workers")
    if count < 2:
        return []
    text = f"posthouse_workers = {count}: client and destination limits are divided among the workers, at least 1 each"
    return [found(configuration, "warning", "posthouse_workers", text)]


def relay_control(configuration: Configuration) -> list[Finding]:
    """An smtpd whose lists let anyone relay."""
    lists = ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")
    words = {word for name in lists for word in configuration.words(name)}
    classes = set(configuration.words("smtpd_restriction_classes"))
    if words & RELAY_CONTROLS or words & classes:
        return []
    text = (
        "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance "
        "of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains"
    )
    place = next((name for name in lists if configuration.is_set(name)), lists[0])
    return [found(configuration, "warning", place, text)]
