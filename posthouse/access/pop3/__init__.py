"""POP3 over the mailbox: sessions, split at the login and by verb."""
