"""The mailbox stores: native, Maildir++, mbox spool."""
