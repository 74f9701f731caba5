"""A whole cluster in one process on a virtual clock: real replicas and publishers, simulated Redis and pages."""
