"""The LMTP server's sessions."""
