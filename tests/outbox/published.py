"""What was published, from the rooms' logs in Redis: every publish is one entry, in the order of the publishes."""

from __future__ import annotations

import json
from typing import Any

import redis.asyncio

from publisher import Room, wire


async def published(client: redis.asyncio.Redis, tenant: str, room: Room) -> list[Any]:
    """Return the data of a room's events, oldest first."""
    entries: Any = await client.xrange(wire.log_key(tenant, room))
    return [json.loads(fields[wire.LogField.BODY])[1] for _, fields in entries]
