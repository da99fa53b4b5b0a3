"""The SMTP server's sessions, one file per verb."""
