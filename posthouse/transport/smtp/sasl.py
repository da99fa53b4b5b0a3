"""Logging in at a server: AUTH by the best mechanism that both sides and the settings allow.

Standards: RFC 4954 section 4.
"""

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable

from posthouse.host.log import ProcessLog
from posthouse.transport.smtp.connection import Connection
from posthouse.transport.smtp.login import Login, allowed_mechanisms, no_mechanism, no_worthy_mechanism
from posthouse.transport.smtp.reasons import SiteFailed, remote, said, soften
from posthouse.transport.smtp.settings import SmtpSettings
from posthouse.wire.smtp.client_auth import MECHANISMS, choose_mechanism
from posthouse.wire.smtp.reply import Reply

AUTH_ROUNDS = 10
"""Challenges in one AUTH exchange; no mechanism we speak needs more than three."""
REFUSED_LIMIT = 1000
"""Refused logins that are remembered."""


def note_offer(connection: Connection, settings: SmtpSettings, log: ProcessLog) -> None:
    """Warn of what a server offers that is no use."""
    offer = connection.offer
    if offer.mechanisms is None:
        return
    relay = connection.candidate.relay
    if not offer.mechanisms:
        log.warning(f"{relay} offered null AUTH mechanism list")
    elif not allowed_mechanisms(offer.mechanisms, settings):
        log.warning(f"{relay} offered no supported AUTH mechanisms: '{' '.join(offer.mechanisms)}'")


class RefusedLogins:
    """Logins that a server refused for good: for smtp_sasl_auth_cache_time it is not asked again.

    smtp_sasl_auth_cache_name switches this on; whatever table it names, they are kept in memory, without passwords.
    """

    def __init__(self, settings: SmtpSettings, clock: Callable[[], float]) -> None:
        self._lifetime = settings.smtp_sasl_auth_cache_time if settings.smtp_sasl_auth_cache_name else 0
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Reply]] = OrderedDict()

    def _key(self, host: str, login: Login) -> bytes:
        text = "\0".join((host, login.user, login.password))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()

    def find(self, host: str, login: Login) -> Reply | None:
        """What the server said to it."""
        expires, reply = self._kept.get(self._key(host, login), (0.0, None))
        return reply if expires > self._clock() else None

    def keep(self, host: str, login: Login, reply: Reply) -> None:
        """RFC 4954 section 6: 535 says that the credentials are wrong; anything else may pass."""
        if self._lifetime <= 0 or reply.code != 535:
            return
        self._kept[self._key(host, login)] = (self._clock() + self._lifetime, reply)
        if len(self._kept) > REFUSED_LIMIT:
            self._kept.popitem(last=False)


async def log_in(
    connection: Connection,
    login: Login,
    settings: SmtpSettings,
    log: ProcessLog,
    refused: RefusedLogins,
    *,
    verified: bool,
) -> None:
    """`verified`: whether the server has proved who it is. Raises SiteFailed."""
    label = connection.candidate.label
    host = connection.candidate.host
    allowed = allowed_mechanisms(connection.offer.mechanisms or (), settings)
    if not allowed:
        raise SiteFailed(no_mechanism(label))
    options = settings.smtp_sasl_security_options
    if connection.stream.tls is not None:
        options = settings.smtp_sasl_tls_security_options
        if verified:
            options = settings.smtp_sasl_tls_verified_security_options
    mechanism = choose_mechanism(allowed, options)
    if not mechanism:
        log.warning("SASL authentication failure: No worthy mechs found")
        raise SiteFailed(no_worthy_mechanism(label))
    known = refused.find(host, login)
    if known is not None:
        dsn = remote(known, host, f"SASL [CACHED] authentication failed; server {host} said: {said(known)}")
        raise SiteFailed(soften(dsn) if settings.smtp_sasl_auth_soft_bounce else dsn)
    exchange = MECHANISMS[mechanism](login.user, login.password)
    # Postfix's word for a connection that breaks here, too.
    doing = f"performing the {'LHLO' if connection.protocol == 'LMTP' else 'EHLO'} handshake"
    first = next(exchange)
    # RFC 4954 section 4: the initial response goes with the command; an empty one is "=".
    line = f"AUTH {mechanism}"
    if first is not None:
        line += " " + (base64.b64encode(first).decode() or "=")
    reply = await connection.ask(line, settings.smtp_mail_timeout, doing)
    for _ in range(AUTH_ROUNDS):
        if reply.code // 100 != 3:
            break
        try:
            answer = exchange.send(base64.b64decode(reply.text))
        except (ValueError, StopIteration):
            # RFC 4954 section 4: "*" gives up on a challenge that cannot be answered.
            reply = await connection.ask("*", settings.smtp_mail_timeout, doing)
            break
        secret = base64.b64encode(answer or b"").decode()
        reply = await connection.ask(secret, settings.smtp_mail_timeout, doing, secret=True)
    if reply.code // 100 != 2:
        if connection.transcript is not None:
            connection.transcript.judge(reply.code)
        refused.keep(host, login, reply)
        reason = f"SASL authentication failed; server {label} said: {said(reply)}"
        dsn = remote(reply, host, reason)
        if reply.code // 100 == 3:
            dsn = remote(reply, host, reason, status="4.7.0")
        raise SiteFailed(soften(dsn) if settings.smtp_sasl_auth_soft_bounce else dsn)
