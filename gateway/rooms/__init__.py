"""The rooms of a replica: subscriptions, logs, and resyncs that fill the gaps after a break."""
