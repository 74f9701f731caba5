"""Traces that go from a backend through Redis to the sockets."""
