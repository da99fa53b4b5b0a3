"""Who did what to which message, with evidence."""
