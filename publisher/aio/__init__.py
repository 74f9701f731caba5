"""The publisher for asyncio."""
