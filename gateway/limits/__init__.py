"""The limits of one client: rates, addresses, connections; decisions that do no I/O."""
