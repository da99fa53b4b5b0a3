"""The LMTP server: the SMTP server's verbs, one reply per recipient."""
