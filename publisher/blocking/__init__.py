"""The publisher for code without asyncio."""
