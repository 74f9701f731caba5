"""Commands and subscriptions for a Redis Cluster: one connection of each kind per shard; slots may move."""
