"""Parameters of our own: counters, stores, workers, journal.

Each row: name, kind, default, minimum, maximum (0: none; of a string, its length).
"""

PARAMETERS: tuple[tuple[str, str, str, int, int], ...] = (
    ("account_databases", "string", "passwd-file:$config_directory/accounts, pam", 0, 0),
    ("dns_servers", "string", "", 0, 0),
    ("imapd_append_limit", "int", "$message_size_limit", 0, 0),
    ("imapd_banner", "string", "$myhostname ready", 0, 0),
    ("imapd_client_connection_count_limit", "int", "50", 0, 0),
    ("imapd_hard_error_limit", "int", "20", 1, 0),
    ("imapd_line_length_limit", "int", "65536", 512, 0),
    ("imapd_timeout", "time", "1800s", 1, 0),
    ("imapd_tls_auth_only", "bool", "yes", 0, 0),
    ("imapd_tls_cert_file", "string", "$smtpd_tls_cert_file", 0, 0),
    ("imapd_tls_key_file", "string", "$smtpd_tls_key_file", 0, 0),
    ("imapd_tls_security_level", "string", "$smtpd_tls_security_level", 0, 0),
    ("imapd_tls_wrappermode", "bool", "no", 0, 0),
    ("mail_store_directory", "string", "$data_directory/accounts", 0, 0),
    ("mailbox_spool_takeover", "string", "copy", 0, 0),
    ("pop3d_banner", "string", "$myhostname ready", 0, 0),
    ("pop3d_client_connection_count_limit", "int", "10", 0, 0),
    ("pop3d_hard_error_limit", "int", "10", 1, 0),
    ("pop3d_line_length_limit", "int", "255", 40, 0),
    ("pop3d_timeout", "time", "600s", 1, 0),
    ("pop3d_tls_auth_only", "bool", "yes", 0, 0),
    ("pop3d_tls_cert_file", "string", "$smtpd_tls_cert_file", 0, 0),
    ("pop3d_tls_key_file", "string", "$smtpd_tls_key_file", 0, 0),
    ("pop3d_tls_security_level", "string", "$smtpd_tls_security_level", 0, 0),
    ("pop3d_tls_wrappermode", "bool", "no", 0, 0),
    ("posthouse_access_workers", "int", "0", 0, 0),
    ("posthouse_body_memory", "int", "67108864", 1048576, 0),
    ("posthouse_journal_size", "int", "1073741824", 0, 0),
    ("posthouse_journal_time", "time", "30d", 0, 0),
    ("posthouse_workers", "int", "1", 1, 0),
)
