"""Faults: what was acknowledged is at every member, exactly once and in order, or the member was told.

A row is one fault done to real replicas, a real Valkey, real publishers in other processes and a crowd of
clients in overlapping rooms; the checker compares what the publishers' receipts say with what the clients
wrote down. `python -m tests.faults` runs every row at full length and prints the table.
"""
