"""main.cf, master.cf, and the catalog of parameters."""
