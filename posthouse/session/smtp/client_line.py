"""The log line that says whose message it is, under its queue id or NOQUEUE."""

from posthouse.session.smtp.session import SmtpSession


def log_client(session: SmtpSession, queue_id: str) -> None:
    """Say it."""
    client, forwarded = session.client, session.forwarded
    line = f"{queue_id}: client={session.namaddr}"
    if client.sasl_username:
        line += f", sasl_method={client.sasl_method}, sasl_username={client.sasl_username}"
    if client.sasl_sender:
        line += f", sasl_sender={client.sasl_sender}"
    if session.forwarded_id:
        line += f", orig_queue_id={session.forwarded_id}"
    if forwarded is not None and session.forwarded_shown:
        address = f"[{forwarded.address}]" if forwarded.address != "unknown" else ""
        line += f", orig_client={forwarded.name}{address}"
    session.log.info(line)
