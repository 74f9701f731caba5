"""The events of one room, live: one line of JSON for each message, as long as a client reads.

Each reader has a connection to Redis of its own, so it does not delay deliveries. A slow reader loses lines and is
told how many. Payloads are left out unless the client asks for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from gateway.console.models import Tail
from gateway.errors import Refused
from gateway.redis.commands import OPEN_ERRORS
from gateway.redis.connection import Connection, RedisUnavailable, ReplyError
from gateway.rooms.message_view import CONTROL, overhear
from publisher import wire
from publisher.rooms import Room

if TYPE_CHECKING:
    from gateway.app.replica import Gateway
    from gateway.redis.subscriber import Subscriber

MOST = 8
# Most lines that wait for one reader.
KEPT = 200
# Largest payload to show; a larger one is left out.
MAX_DATA_BYTES = 16_384
OPEN_S = 3.0
# Interval of lines without a message, so that client and proxies keep the connection open.
BEAT_S = 10.0
# Interval of checks whether the reader has gone or this replica drains.
LOOK_S = 0.5
HEADERS = {
    "Content-Type": "application/x-ndjson",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",
}


class Tails:
    """The readers of one replica, `MOST` at a time."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._going: set[Lines] = set()
        self._closing = False

    async def close(self, app: web.Application) -> None:
        """End all readers, each with a line that says so."""
        self._closing = True
        for lines in self._going:
            lines.wake()

    async def stream(self, request: web.Request, asked: Tail) -> web.StreamResponse:
        """Answer until the reader, the connection to Redis or this replica ends.

        Raises `Refused` or `RedisUnavailable` if it can't begin.
        """
        if len(self._going) >= MOST:
            raise Refused(
                "rate_limited",
                f"this replica already shows {MOST} rooms live: stop one of them first",
                limit="console tails",
            )
        everything = self._gateway.subscriptions.subscriber
        # In a cluster, the subscriber of the tenant's shard.
        subscriber = everything.of(asked.organization_id)
        lines = Lines(payload=asked.payload)
        connection = Connection(subscriber.commands.source, on_push=lines.on_push, on_lost=lines.lost)
        self._going.add(lines)
        try:
            await connection.open(OPEN_S)
            word = "SUBSCRIBE" if subscriber is everything else "SSUBSCRIBE"
            connection.send(word, wire.channel(asked.organization_id, Room(asked.room)))
            await asyncio.wait_for(lines.began.wait(), OPEN_S)
            return await self._pass_on(request, lines, subscriber)
        except OPEN_ERRORS as error:
            raise RedisUnavailable(str(error)) from None
        finally:
            self._going.discard(lines)
            await connection.close()

    async def _pass_on(self, request: web.Request, lines: Lines, subscriber: Subscriber) -> web.StreamResponse:
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):  # the reader has gone
            await response.write(_line({"type": "open"}))
            said_at = loop.time()
            while not (why := self._end(lines, subscriber)):
                if found := await lines.some(LOOK_S):
                    await response.write(found)
                    said_at = loop.time()
                elif request.transport is None or request.transport.is_closing():
                    return response
                elif loop.time() - said_at >= BEAT_S:
                    await response.write(_line({"type": "beat"}))
                    said_at = loop.time()
            await response.write(_line({"type": "end", "why": why}))
        return response

    def _end(self, lines: Lines, subscriber: Subscriber) -> str:
        if self._closing or self._gateway.draining:
            return "draining"
        # Our connection is not probed. The subscriber's is, so it shows a half-open one.
        return "redis" if lines.is_lost or not subscriber.hears else ""


class Lines:
    """The lines that wait for the reader; when full, the oldest is dropped."""

    def __init__(self, *, payload: bool) -> None:
        self.began = asyncio.Event()
        self.is_lost = False
        self._payload = payload
        self._waiting: deque[bytes] = deque(maxlen=KEPT)
        self._skipped = 0
        self._there = asyncio.Event()

    def on_push(self, push: list[Any] | bytes | ReplyError) -> None:
        """Handle a push of Redis: a message, a confirmation, or an error."""
        match push:
            case [b"message" | b"smessage", _, bytes(raw)]:
                self.hear(raw)
            case [b"subscribe" | b"ssubscribe", *_]:
                self.began.set()
            case _:
                # An error, or the channel moved to another shard.
                self.lost()

    def lost(self) -> None:
        """Note that the connection to Redis is lost, so that the page begins again."""
        self.is_lost = True
        self.began.set()
        self.wake()

    def wake(self) -> None:
        """Wake up the task that waits in `some`."""
        self._there.set()

    def hear(self, raw: bytes) -> None:
        """Append a message from Redis as a line for the page; if too many wait, the oldest is dropped."""
        self._skipped += len(self._waiting) == KEPT
        self._waiting.append(_line(told(raw, payload=self._payload)))
        self._there.set()

    async def some(self, within_s: float) -> bytes:
        """Return the waiting lines, after waiting up to `within_s` seconds for the first; perhaps empty."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._there.wait()
        skipped = [_line({"type": "skipped", "count": self._skipped})] if self._skipped else []
        found = b"".join([*skipped, *self._waiting])
        self._waiting.clear()
        self._skipped = 0
        self._there.clear()
        return found


def told(raw: bytes, *, payload: bool) -> dict[str, Any]:
    """Return the facts about a message; `at` is the time of Redis' clock in milliseconds."""
    try:
        heard = overhear(raw)
        found = {
            "type": "message",
            "kind": heard.kind,
            "event": heard.event,
            "at": heard.seq / 1000,
            "offset": heard.offset,
            "bytes": heard.size,
        }
        if payload and heard.kind != CONTROL and len(heard.data) <= MAX_DATA_BYTES:
            # Decoded, because a line break in the JSON would end the line.
            found["data"] = msgspec.json.decode(heard.data)
    except (ValueError, RecursionError):
        return {"type": "malformed", "bytes": len(raw)}
    return found


def _line(said: dict[str, Any]) -> bytes:
    return msgspec.json.encode(said) + b"\n"
