"""Every parameter, by family, with type and default."""
