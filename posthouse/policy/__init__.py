"""Restrictions, access maps and limits: each gives a verdict and its evidence."""
