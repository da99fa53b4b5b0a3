"""The stub resolver, its cache, and what mail asks of DNS."""
