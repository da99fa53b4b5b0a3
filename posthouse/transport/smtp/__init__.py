"""The SMTP and LMTP client."""
