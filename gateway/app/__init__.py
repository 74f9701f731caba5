"""The process: the parts of a replica, the order in which they start and stop, and the reports on its state."""
