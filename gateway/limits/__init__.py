"""The limits of one client: rates, addresses, connections. No I/O."""
