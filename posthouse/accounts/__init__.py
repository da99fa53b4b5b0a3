"""Logins, passwords and where their mail is."""
