"""What the gateway decides, without any I/O: who gets which event, and what was missed.

Nothing in this folder knows asyncio, Redis or aiohttp; time and events come in as arguments.
"""
