"""TLS: of the listener, and on the way to Redis."""
