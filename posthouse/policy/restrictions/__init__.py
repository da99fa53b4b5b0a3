"""The words of smtpd_*_restrictions, by what they look at."""
