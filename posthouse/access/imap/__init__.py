"""IMAP sessions."""
