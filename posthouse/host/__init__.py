"""What the machine gives: durable files, locks, users, clock, log, limits."""
