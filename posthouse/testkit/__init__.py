"""What tests and the sandbox share: a DNS server with zones, peers that misbehave on purpose."""
