"""IMAP's grammar without I/O, both sides."""
