"""Rooms as a replica hears them: subscriptions, logs, and what makes good a break, without a gap."""
