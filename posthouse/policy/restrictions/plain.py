"""Restrictions that look at nothing but the session: permit, reject, defer and their like."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from posthouse.envelope.verdict import DUNNO, Verdict
from posthouse.host.interfaces import interface_addresses
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.restriction import Check
from posthouse.policy.settings import CheckSettings

SLEEP_LIMIT = 300.0
"""Seconds a `sleep` restriction may take: as long as smtpd_timeout lets a client wait."""

Sleep = Callable[[float], Awaitable[None]]


class Plain:
    """The checks; each is one restriction."""

    def __init__(self, settings: CheckSettings, sleep: Sleep = asyncio.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._interfaces: frozenset[str] | None = None

    async def permit(self, facts: Facts, subject: Subject) -> Verdict:
        """Always."""
        return facts.permit()

    async def reject(self, facts: Facts, subject: Subject) -> Verdict:
        """Always."""
        text = f"<{subject.name}>: {subject.reply_class} rejected: Access denied"
        return facts.refuse(self._settings.reject_code, "5.7.1", text)

    async def defer(self, facts: Facts, subject: Subject) -> Verdict:
        """Always, for now."""
        text = f"<{subject.name}>: {subject.reply_class} rejected: Try again later"
        return facts.refuse(self._settings.defer_code, "4.3.2", text)

    async def defer_if_permit(self, facts: Facts, subject: Subject) -> Verdict:
        """When nothing else refuses."""
        text = f"<{subject.name}>: {subject.reply_class} rejected: defer_if_permit requested"
        return facts.defer_if_permit(450, "4.7.0", text)

    async def defer_if_reject(self, facts: Facts, subject: Subject) -> Verdict:
        """When something else refuses for good."""
        text = f"<{subject.name}>: {subject.reply_class} rejected: defer_if_reject requested"
        return facts.defer_if_reject(450, "4.7.0", text)

    async def permit_sasl_authenticated(self, facts: Facts, subject: Subject) -> Verdict:
        """A client that logged in."""
        if facts.login and self._settings.smtpd_sasl_auth_enable:
            return facts.permit(f"logged in as {facts.login}")
        return DUNNO

    async def permit_inet_interfaces(self, facts: Facts, subject: Subject) -> Verdict:
        """A client on one of this machine's own addresses."""
        if self._interfaces is None:
            self._interfaces = frozenset(str(ip_address(i.address.partition("%")[0])) for i in interface_addresses())
        if facts.client.address in self._interfaces:
            return facts.permit(f"{facts.client.address} is an address of this machine")
        return DUNNO

    async def reject_unauth_pipelining(self, facts: Facts, subject: Subject) -> Verdict:
        """A client that once sent ahead where it may not: without ESMTP, or behind the last of a group (RFC 2920)."""
        if facts.pipelined:
            text = f"<{subject.name}>: {subject.reply_class} rejected: Improper use of SMTP command pipelining"
            return facts.refuse(503, "5.5.0", text)
        return DUNNO

    async def reject_plaintext_session(self, facts: Facts, subject: Subject) -> Verdict:
        """No TLS."""
        if facts.tls is None:
            return facts.refuse(self._settings.plaintext_reject_code, "4.7.1", "Session encryption is required")
        return DUNNO

    async def reject_multi_recipient_bounce(self, facts: Facts, subject: Subject) -> Verdict:
        """A bounce for several recipients: none is legitimate."""
        count = facts.accepted + (1 if facts.stage == "RCPT" else 0)
        if facts.sender == "" and count > 1:
            text = f"<{subject.name}>: {subject.reply_class} rejected: Multi-recipient bounce"
            return facts.refuse(self._settings.multi_recipient_bounce_reject_code, "5.5.3", text, f"{count} recipients")
        return DUNNO

    def sleep(self, seconds: float) -> Check:
        """`sleep seconds`."""

        async def check(facts: Facts, subject: Subject) -> Verdict:
            await self._sleep(min(seconds, SLEEP_LIMIT))
            return DUNNO

        return check
