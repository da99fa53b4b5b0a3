"""The mbox spool: all messages of a mailbox in one file."""
