"""The native store: one SQLite file per account, large contents beside it."""
