"""Mail addresses: local part, domain, path, without I/O."""
