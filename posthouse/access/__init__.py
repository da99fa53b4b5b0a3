"""Dialogues with clients that fetch mail."""
