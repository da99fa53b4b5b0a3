"""Parameters of missing parts that mail must not pass without: setting one stops mail, it is not passed over."""

REFUSED = {
    "smtpd_proxy_filter": "filters before the queue are missing so far: this listener takes no mail",
}
"""Name to what is said of it."""
