"""RFC 5322 and MIME by byte offset, without I/O."""
