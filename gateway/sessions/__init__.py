"""Sessions: what is kept of each socket in Redis so that it can come back to any replica."""
