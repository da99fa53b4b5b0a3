"""Address classes, rewriting, and the choice of transport and nexthop."""
