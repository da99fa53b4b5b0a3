"""Milters, until Posthouse speaks their protocol: what Postfix does when a milter is down.

Mail that an operator wants filtered must not pass unfiltered because a part is missing here, so
milter_default_action decides, as it does for a milter that cannot be reached: accept lets mail pass
with a warning at start, reject refuses it, everything else (tempfail is the default) defers it.

Missing: the milter protocol.
"""

from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.envelope import Client, Notify
from posthouse.envelope.handling import Handling
from posthouse.envelope.verdict import Action, Evidence, Verdict
from posthouse.host.log import ProcessLog
from posthouse.intake.transaction import Refused
from posthouse.net.stream import TlsInfo
from posthouse.policy.facts import Facts
from posthouse.session.smtp.seams import LogEvent, Stages, StageSession


@dataclass(frozen=True, slots=True)
class MilterSettings:
    """Which milters are wanted, and what happens without them."""

    smtpd_milters: tuple[str, ...]
    non_smtpd_milters: tuple[str, ...]
    milter_default_action: str


def _without(parameter: str, milters: tuple[str, ...], action: str, log: ProcessLog) -> Refused | None:
    """What mail hears that these milters should have seen; None lets it pass."""
    if not milters:
        return None
    log.warning(
        f"{parameter} = {' '.join(milters)}: milters are missing so far in Posthouse: "
        f"milter_default_action = {action} is what happens to mail"
    )
    match action.lower():
        case "accept":
            return None
        case "reject":
            return Refused(550, "5.7.1", "Service unavailable")
    return Refused(451, "4.7.1", "Service unavailable - try again later")


def local_refusal(configuration: Configuration, log: ProcessLog) -> Refused | None:
    """What mail submitted on this machine hears, or None."""
    settings = read_settings(MilterSettings, configuration)
    return _without("non_smtpd_milters", settings.non_smtpd_milters, settings.milter_default_action, log)


def behind_milters(stages: Stages, configuration: Configuration, log: ProcessLog) -> Stages:
    """The lists as they are; or, where milters are wanted, behind milters that cannot be asked."""
    settings = read_settings(MilterSettings, configuration)
    refused = _without("smtpd_milters", settings.smtpd_milters, settings.milter_default_action, log)
    if refused is None:
        return stages
    action = Action.DEFER if refused.code < 500 else Action.REJECT
    evidence = Evidence("smtpd_milters", configuration.origin("smtpd_milters"), "", "milters are missing so far")
    refusal = Verdict(action, refused.code, refused.status, refused.text, (evidence,), "milter-reject")
    return _Unfiltered(stages, refusal)


class _Unfiltered:
    """Stages whose sessions accept no sender."""

    def __init__(self, stages: Stages, refusal: Verdict) -> None:
        self._stages = stages
        self._refusal = refusal

    def begin(self, client: Client, server_address: str, server_port: int, *, log: LogEvent) -> StageSession:
        """A new connection."""
        return _UnfilteredSession(self._stages.begin(client, server_address, server_port, log=log), self._refusal)


class _UnfilteredSession:
    """One connection: everything but MAIL is as it was."""

    def __init__(self, inner: StageSession, refusal: Verdict) -> None:
        self._inner = inner
        self._refusal = refusal

    @property
    def facts(self) -> Facts:
        """What the session tells by setting it."""
        facts = self._inner.facts
        assert isinstance(facts, Facts)
        return facts

    @property
    def handling(self) -> Handling:
        """What was gathered for the message so far."""
        return self._inner.handling

    async def connect(self) -> Verdict:
        """smtpd_client_restrictions."""
        return await self._inner.connect()

    async def helo(self, name: str, esmtp: bool) -> Verdict:
        """smtpd_helo_restrictions."""
        return await self._inner.helo(name, esmtp)

    async def mail(self, sender: str, *, size: int, body: str, smtputf8: bool) -> Verdict:
        """Refused or deferred: nobody can filter this mail."""
        return self._refusal

    async def rcpt(self, address: str, *, notify: Notify, orcpt: str) -> Verdict:
        """Never reached, as no sender is accepted."""
        return self._refusal

    async def data(self) -> Verdict:
        """Never reached."""
        return self._refusal

    async def end_of_data(self, size: int) -> Verdict:
        """Never reached."""
        return self._refusal

    async def vrfy(self, address: str) -> Verdict:
        """What RCPT would say of the address."""
        return await self._inner.vrfy(address)

    async def etrn(self, domain: str) -> Verdict:
        """smtpd_etrn_restrictions."""
        return await self._inner.etrn(domain)

    def authenticated(self, login: str, method: str, sender: str) -> None:
        """The client logged in."""
        self._inner.authenticated(login, method, sender)

    def tls(self, info: TlsInfo | None) -> None:
        """The connection is encrypted now."""
        self._inner.tls(info)

    def reset(self) -> None:
        """Drop the transaction."""
        self._inner.reset()
