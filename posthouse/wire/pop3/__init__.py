"""POP3 without I/O: commands, replies, dot-stuffing, the APOP digest."""
