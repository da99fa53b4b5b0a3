"""Postfix's commands, mail and posthouse: one file each, thin."""
