"""Sockets that say nothing: cheap, and a replica that drains has to move each of them away."""

from __future__ import annotations

import asyncio

import aiohttp

from tests.support.polling import Poller
from tests.support.replica import Replica


async def open_idlers(replica: Replica, count: int) -> None:
    """Open so many sockets by long-polling that never authenticate: a drain takes ten milliseconds for each."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as http:
        await asyncio.gather(*(Poller(http, f"{replica.url}/socket.io/?EIO=4").open() for _ in range(count)))
