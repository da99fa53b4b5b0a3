"""POP3's grammar, without I/O."""
