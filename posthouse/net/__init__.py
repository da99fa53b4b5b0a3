"""Streams, TLS, deadlines, listeners, and messages between processes."""
