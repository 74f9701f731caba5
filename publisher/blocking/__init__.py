"""The publisher for threads."""
