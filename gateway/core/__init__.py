"""The gateway's decisions, without any I/O: the receivers of each event, and the events that a socket missed.

Nothing in this folder knows asyncio, Redis or aiohttp; time and events come in as arguments.
"""
