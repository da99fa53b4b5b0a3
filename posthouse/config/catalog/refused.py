"""Parameters of missing parts that mail must not pass without: setting one stops mail, it is not passed over."""

REFUSED: dict[str, str] = {}
"""Name to what is said of it. Empty since milters and the filter before the queue are there."""
