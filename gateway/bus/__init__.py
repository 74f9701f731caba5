"""Redis as the gateway uses it: one connection that hears, one that asks, and what is kept there."""
