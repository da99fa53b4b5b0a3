"""From a delivery agent into a mailbox."""
