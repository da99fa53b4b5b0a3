"""POP3 sessions, verb by verb."""
