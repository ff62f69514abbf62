"""What the integration tests stand on: the gateway as a process, upstreams, a strict client, Redis, certificates."""
