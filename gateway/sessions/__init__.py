"""Sessions: the state of each socket in Redis, with which it can come back to any replica."""
