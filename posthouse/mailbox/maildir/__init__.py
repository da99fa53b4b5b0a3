"""Maildir++: a file per message, as qmail, Courier and Dovecot keep them."""
