"""What one of several mail workers may use of a limit that holds for the machine.

Until limits are granted from one place, each worker gets its part, at least 1; `postfix check`
says so when posthouse_workers is above 1.
"""

from dataclasses import replace

from posthouse.schedule.settings import TransportSettings
from posthouse.session.smtp.settings import SmtpdSettings


def part(limit: int, workers: int) -> int:
    """One worker's part; 0 is no limit and stays so."""
    return max(1, limit // workers) if limit else 0


def transport_part(settings: TransportSettings, workers: int) -> TransportSettings:
    """A transport's concurrency for one worker."""
    limit = part(settings.concurrency_limit, workers)
    initial = part(settings.initial_concurrency, workers)
    return replace(settings, concurrency_limit=limit, initial_concurrency=initial)


def smtpd_part(settings: SmtpdSettings, workers: int) -> SmtpdSettings:
    """A client's counts and rates for one worker."""
    return replace(
        settings,
        smtpd_client_connection_count_limit=part(settings.smtpd_client_connection_count_limit, workers),
        smtpd_client_connection_rate_limit=part(settings.smtpd_client_connection_rate_limit, workers),
        smtpd_client_message_rate_limit=part(settings.smtpd_client_message_rate_limit, workers),
        smtpd_client_recipient_rate_limit=part(settings.smtpd_client_recipient_rate_limit, workers),
        smtpd_client_auth_rate_limit=part(settings.smtpd_client_auth_rate_limit, workers),
        smtpd_client_new_tls_session_rate_limit=part(settings.smtpd_client_new_tls_session_rate_limit, workers),
    )
