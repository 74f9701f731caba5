"""The same for a Redis Cluster: a node for each slot, a subscriber for each shard, slots that move."""
