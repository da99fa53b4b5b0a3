"""The values that travel through the house, without I/O."""
