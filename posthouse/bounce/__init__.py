"""Which notice about a message goes to whom, and its text."""
