"""What notices read from main.cf: bounce(8)'s parameters."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BounceSettings:
    """The parameters of notices. Times are seconds, sizes bytes."""

    myhostname: str = "localhost"
    myorigin: str = "localhost"
    mail_name: str = "Postfix"
    smtputf8_enable: bool = True
    bounce_size_limit: int = 50000
    notify_classes: tuple[str, ...] = ("resource", "software")
    bounce_notice_recipient: str = "postmaster"
    second_bounce_notice_recipient: str = field(
        default="postmaster", metadata={"parameter": "2bounce_notice_recipient"}
    )
    delay_notice_recipient: str = "postmaster"
    double_bounce_sender: str = "double-bounce"
    delay_warning_time: int = 0
    maximal_queue_lifetime: int = 432000
    bounce_template_file: str = ""
    disable_verp_bounces: bool = False
