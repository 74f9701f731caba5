"""Connections to Redis: one that hears, one that asks; and how both come back. Nothing of what is kept there."""
