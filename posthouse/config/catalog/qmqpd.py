"""The QMQP server.

Each row: name, kind, default, minimum, maximum (0: none; of a string, its length).
"""

PARAMETERS: tuple[tuple[str, str, str, int, int], ...] = (
    ("qmqpd_authorized_clients", "string", "", 0, 0),
    ("qmqpd_client_port_logging", "bool", "no", 0, 0),
    ("qmqpd_error_delay", "time", "1s", 0, 0),
    ("qmqpd_timeout", "time", "300s", 1, 0),
)
