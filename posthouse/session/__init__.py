"""Dialogues with clients that hand mail in: one package per protocol, one file per verb."""
