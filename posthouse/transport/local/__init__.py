"""Delivery as local(8): aliases, .forward, commands, files, mailboxes."""
