"""Milter clients.

Each row: name, kind, default, minimum, maximum (0: none; of a string, its length).
"""

PARAMETERS: tuple[tuple[str, str, str, int, int], ...] = (
    ("milter_command_timeout", "time", "30s", 1, 0),
    ("milter_connect_macros", "string", "j {daemon_name} {daemon_addr} v _", 0, 0),
    ("milter_connect_timeout", "time", "30s", 1, 0),
    ("milter_content_timeout", "time", "300s", 1, 0),
    ("milter_data_macros", "string", "i", 0, 0),
    ("milter_default_action", "string", "tempfail", 1, 0),
    ("milter_end_of_data_macros", "string", "i", 0, 0),
    ("milter_end_of_header_macros", "string", "i", 0, 0),
    ("milter_header_checks", "string", "", 0, 0),
    ("milter_helo_macros", "string", "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}", 0, 0),
    ("milter_macro_daemon_name", "string", "$myhostname", 1, 0),
    ("milter_macro_defaults", "string", "", 0, 0),
    ("milter_macro_v", "string", "$mail_name $mail_version", 1, 0),
    (
        "milter_mail_macros",
        "string",
        "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
        0,
        0,
    ),
    ("milter_protocol", "string", "6", 1, 0),
    ("milter_rcpt_macros", "string", "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", 0, 0),
    ("milter_unknown_command_macros", "string", "", 0, 0),
)
