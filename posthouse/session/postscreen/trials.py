"""The five tests by number: early ones come before the greeting, deep ones behind it."""

PREGREET, DNSBL, PIPELINING, NON_SMTP, BARE_NEWLINE = range(5)
TESTS = (PREGREET, DNSBL, PIPELINING, NON_SMTP, BARE_NEWLINE)
EARLY = frozenset({PREGREET, DNSBL})
DEEP = frozenset({PIPELINING, NON_SMTP, BARE_NEWLINE})
"""In a session that cannot be handed over any more."""
