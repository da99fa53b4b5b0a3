"""An LMTP listener: an SMTP service that greets with LHLO and answers for each recipient.

The door it is given either queues (then every recipient hears the same) or delivers at once
and answers with PerRecipient.

Standards: RFC 2033.
"""

from dataclasses import replace

from posthouse.session.smtp.service import SmtpService


def as_lmtp(service: SmtpService) -> SmtpService:
    """The same service speaking LMTP (lmtpd). VRFY is not offered, HELO is required: RFC 2033 section 4.1."""
    service.settings = replace(
        service.settings,
        smtpd_banner=f"{service.settings.myhostname} LMTP {service.settings.mail_name}",
        smtpd_helo_required=True,
        disable_vrfy_command=True,
    )
    service.under_stress = None
    service.lmtp = True
    return service
