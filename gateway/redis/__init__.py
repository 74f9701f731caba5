"""Connections to Redis: one for commands, one for subscriptions. Both reconnect by themselves."""
