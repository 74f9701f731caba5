"""Redis Cluster and Sentinel, with the real servers that this machine has."""
