"""The address class of a domain: local, virtual alias, virtual mailbox, relay, or default.

The order is Postfix's: mydestination with our own address literals, then virtual alias
domains, virtual mailbox domains, relay domains (there parent_domain_matches_subdomains may
count), and the rest. A domain listed twice is warned about once, in trivial-rewrite's words.

Standards: RFC 5321 sections 2.3.5 and 4.1.3.
"""

from enum import Enum


class AddressClass(Enum):
    """Which of main.cf's domain lists an address is in. Value: the word in evidence and in recipient tables' names."""

    LOCAL = "local"
    VIRTUAL_ALIAS = "virtual alias"
    VIRTUAL_MAILBOX = "virtual mailbox"
    RELAY = "relay"
    DEFAULT = "default"
