"""The Sendmail milter protocol, both sides, without I/O."""
