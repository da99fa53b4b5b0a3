"""Notices about mail that could not be delivered.

Each row: name, kind, default, minimum, maximum (0: none; of a string, its length).
"""

PARAMETERS: tuple[tuple[str, str, str, int, int], ...] = (
    ("2bounce_notice_recipient", "string", "postmaster", 1, 0),
    ("backwards_bounce_logfile_compatibility", "bool", "yes", 0, 0),
    ("bounce_notice_recipient", "string", "postmaster", 1, 0),
    ("bounce_size_limit", "int", "50000", 1, 0),
    ("bounce_template_file", "string", "", 0, 0),
    ("delay_notice_recipient", "string", "postmaster", 1, 0),
    ("disable_verp_bounces", "bool", "no", 0, 0),
    ("double_bounce_sender", "string", "double-bounce", 1, 0),
    ("empty_address_recipient", "string", "MAILER-DAEMON", 1, 0),
    ("enable_threaded_bounces", "bool", "no", 0, 0),
    ("error_notice_recipient", "string", "postmaster", 1, 0),
    ("notify_classes", "string", "resource, software", 0, 0),
)
