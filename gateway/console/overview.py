"""An overview of all replicas, from their announcements in Redis; read at most once a second for all pages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.app.status import bounds

if TYPE_CHECKING:
    from gateway.app.replica import Gateway

FRESH_S = 0.9


class Fleet:
    """The live figures of all gateway processes with the same Redis."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._read_at = float("-inf")
        self._body = b""
        self._reading = asyncio.Lock()

    async def overview(self) -> bytes:
        """Return JSON with `nodes` and the `bounds` of histograms; raises `RedisUnavailable` or `ReplyError`."""
        loop = asyncio.get_running_loop()
        async with self._reading:
            if loop.time() - self._read_at >= FRESH_S:
                everyone = await self._gateway.registry.everyone()
                self._body = msgspec.json.encode(
                    {
                        "nodes": [_shown(name, entry) for name, entry in sorted(everyone.items())],
                        "bounds": bounds(self._gateway),
                    }
                )
                self._read_at = loop.time()
        return self._body


def _shown(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return an announcement with its name, without the path of the Unix socket."""
    return {"name": name} | {field: value for field, value in entry.items() if field != "socket"}
