"""How much one client may ask for: rates, addresses, connections; decisions that do no I/O."""
