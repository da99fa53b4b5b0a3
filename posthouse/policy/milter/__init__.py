"""Milters: which ones, in which order, what they are told and what they decide."""
