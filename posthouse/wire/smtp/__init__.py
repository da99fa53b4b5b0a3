"""SMTP and LMTP: commands, replies, data and dialogues, without I/O."""
