"""Hostile input against a running gateway: what each attack costs, and that the neighbours notice nothing."""
