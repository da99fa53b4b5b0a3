"""IMAP's commands after login, one file per verb."""
