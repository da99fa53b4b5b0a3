"""Which queued message is tried when, and how many at once per destination."""
