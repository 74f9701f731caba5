"""The backend's process: publishes `message:new` the way each system's own documentation says.

Every payload carries `seq`, counted for each conversation, and `t_ns`, the wall clock just before the call:
the load generators check and time by them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import redis.asyncio
import socketio
import uvloop

from publisher import AsyncPublisher
from tests.bench.worker import obey

EVENT = "message:new"
# What redis-streams-adapter keeps unless told otherwise, and a broadcast's number in its protocol.
STREAM_LENGTH = 10_000
BROADCAST = "3"

Send = Callable[[dict[str, Any]], Awaitable[object]]


def message(conversation_id: str, seq: int) -> dict[str, Any]:
    """Make a contact's message of common size: the whole packet has some 430 bytes."""
    return {
        "id": str(uuid.uuid4()),
        "conversation_id": conversation_id,
        "direction": "inbound",
        "sender_type": "contact",
        "message_type": "text",
        "content": {"text": "Bom dia! O meu pedido ainda não chegou, podem ver?"},
        "status": "received",
        "whatsapp_message_id": "wamid.HBgMNTUxMTk4NzY1NDMyFQIAEhg",
        "created_at": "2025-03-14T09:26:53.589793+00:00",
        "seq": seq,
        "t_ns": time.time_ns(),
    }


def to_gateway(url: str, organization_id: str) -> Send:
    """Publish with the project's own library."""
    events = AsyncPublisher.from_url(url)
    return lambda data: events.message_new(organization_id, data)


def to_python_socketio(url: str, _: str) -> Send:
    """Publish with a write-only manager."""
    manager = socketio.AsyncRedisManager(url, write_only=True)
    return lambda data: manager.emit(EVENT, data, room=_room(data))


def to_pubsub(url: str, _: str) -> Send:
    """Publish what @socket.io/redis-emitter would."""
    client = redis.asyncio.Redis.from_url(url)

    def send(data: dict[str, Any]) -> Awaitable[object]:
        room = _room(data)
        return client.publish(
            f"socket.io#/#{room}#", msgspec.msgpack.encode(["emitter", _packet(data), _to(room)])
        )

    return send


def to_streams(url: str, _: str) -> Send:
    """Add what @socket.io/redis-streams-emitter would."""
    client = redis.asyncio.Redis.from_url(url)

    def send(data: dict[str, Any]) -> Awaitable[object]:
        broadcast = {"packet": _packet(data), "opts": _to(_room(data))}
        # Compact as JSON.stringify has it.
        text = json.dumps(broadcast, separators=(",", ":"), ensure_ascii=False)
        entry: Any = {"uid": "emitter", "nsp": "/", "type": BROADCAST, "data": text}
        return client.xadd("socket.io", entry, maxlen=STREAM_LENGTH, approximate=True)

    return send


def _room(data: dict[str, Any]) -> str:
    return f"conversation:{data['conversation_id']}"


def _packet(data: dict[str, Any]) -> dict[str, Any]:
    return {"type": 2, "data": [EVENT, data], "nsp": "/"}


def _to(room: str) -> dict[str, Any]:
    return {"rooms": [room], "except": [], "flags": {}}


BACKENDS: dict[str, Callable[[str, str], Send]] = {
    "gateway": to_gateway,
    "python-socketio": to_python_socketio,
    "socket.io-pubsub": to_pubsub,
    "socket.io-streams": to_streams,
}


async def main() -> None:
    """Publish as told."""
    send = BACKENDS[os.environ["BACKEND"]](os.environ["REDIS_URL"], os.environ["ORGANIZATION"])
    seqs: Counter[str] = Counter()

    async def publish(rooms: list[str], rounds: int, rate: float | None) -> dict[str, float]:
        """Publish to every room in turn, `rounds` times, `rate` events a second or one after the other."""
        loop = asyncio.get_running_loop()
        began, cpu_began = loop.time(), time.process_time()
        count = 0
        for _ in range(rounds):
            for room in rooms:
                if rate is not None and (early_s := began + count / rate - loop.time()) > 0:
                    await asyncio.sleep(early_s)
                seqs[room] += 1
                await send(message(room, seqs[room]))
                count += 1
        return {"took_s": loop.time() - began, "cpu_s": time.process_time() - cpu_began}

    await obey({"publish": publish})


if __name__ == "__main__":
    uvloop.run(main())
