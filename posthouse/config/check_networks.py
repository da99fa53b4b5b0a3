"""mynetworks: who may relay. Wider than the machine's networks is how open relays are made."""

import ipaddress
from collections.abc import Sequence

from posthouse.config.configuration import Configuration
from posthouse.config.finding import Finding, found
from posthouse.config.interfaces import machine_interfaces
from posthouse.config.logical_line import logical_lines, read_text
from posthouse.config.master_cf import Service

PUBLIC_PREFIX = {4: 8, 6: 24}
"""A network with a shorter prefix holds more strangers than any one site has machines."""


def check_networks(configuration: Configuration, services: Sequence[Service]) -> list[Finding]:
    """Networks wider than an interface's, and tables whose rows say REJECT."""
    findings: list[Finding] = []
    scopes = [configuration]
    for service in services:
        if "mynetworks" in service.overrides:
            scopes.append(configuration.with_overrides(service.overrides, f"master.cf:{service.line}"))
    for own in scopes:
        if own.is_set("mynetworks"):
            for word in own.words("mynetworks"):
                findings += _check_word(own, word)
    return findings


def _check_word(configuration: Configuration, word: str) -> list[Finding]:
    if word.startswith("!"):
        return []
    kind, colon, path = word.removeprefix("proxy:").partition(":")
    if colon and path.startswith("/"):
        return _check_rows(configuration, kind, path)
    try:
        network = ipaddress.ip_network(word.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return []
    if network.prefixlen < PUBLIC_PREFIX[network.version] and not network.is_private:
        text = f"mynetworks: {word} lets almost everyone relay through this machine"
        return [found(configuration, "warning", "mynetworks", text)]
    if network.is_loopback or network.is_link_local:
        return []
    for interface in machine_interfaces():
        if interface.ip in network and network.prefixlen < interface.network.prefixlen:
            text = f"mynetworks: {word} is wider than this machine's own network, {interface.network}"
            return [found(configuration, "warning", "mynetworks", text)]
    return []


def _check_rows(configuration: Configuration, kind: str, path: str) -> list[Finding]:
    try:
        text = read_text(path)
    except OSError:
        return []
    for line in logical_lines(text):
        words = line.text.split()
        if len(words) > 1 and words[1].upper() == "REJECT":
            complaint = (
                f"mynetworks: {kind}:{path}, line {line.first}: a row says REJECT: here such an address is not part "
                "of mynetworks; Postfix itself takes every row, whatever it says, as belonging"
            )
            return [found(configuration, "warning", "mynetworks", complaint)]
    return []
