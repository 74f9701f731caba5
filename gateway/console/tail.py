"""The events that are published to one room, live: JSON, a line a message, for as long as a client reads.

It has a connection to Redis of its own, and so little to do with deliveries: a reader that is slow loses lines,
which it is told, and holds up nobody. What the events carry is left out unless it is asked for.
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
# Lines that wait for one reader.
KEPT = 200
# Of one payload; what is longer is left out.
MAX_DATA_BYTES = 16_384
OPEN_S = 3.0
# A line without a message, so that both sides and all between know that the other is there.
BEAT_S = 10.0
# How soon an end shows: of the reader, or of this replica.
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
        """Let the readers go: each is told the end."""
        self._closing = True
        for lines in self._going:
            lines.wake()

    async def stream(self, request: web.Request, asked: Tail) -> web.StreamResponse:
        """Answer until the reader, Redis or this replica goes.

        Raises `Refused` or `RedisUnavailable` before it has begun.
        """
        if len(self._going) >= MOST:
            raise Refused("rate_limited", f"{MOST} rooms are followed here already", limit="console tails")
        everything = self._gateway.subscriptions.subscriber
        # Of a cluster, what hears the shard of this tenant.
        subscriber = everything.of(asked.organization_id)
        lines = Lines(payload=asked.payload)
        connection = Connection(subscriber.commands.source, on_push=lines.take, on_lost=lines.lost)
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
        # A reader that is gone.
        with suppress(ConnectionError):
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
        # A connection that is dead without a word shows where this replica listens itself.
        return "redis" if lines.is_lost or not subscriber.hears else ""


class Lines:
    """Lines that were heard and not read yet. With one too many the oldest is dropped."""

    def __init__(self, *, payload: bool) -> None:
        self.began = asyncio.Event()
        self.is_lost = False
        self._payload = payload
        self._waiting: deque[bytes] = deque(maxlen=KEPT)
        self._skipped = 0
        self._there = asyncio.Event()

    def take(self, push: list[Any] | bytes | ReplyError) -> None:
        """Take what Redis says: a message, or that it is or is not going to send any."""
        match push:
            case [b"message" | b"smessage", _, bytes(raw)]:
                self.hear(raw)
            case [b"subscribe" | b"ssubscribe", *_]:
                self.began.set()
            case _:
                # An error, or a channel that went to another shard.
                self.lost()

    def lost(self) -> None:
        """Hear no more."""
        self.is_lost = True
        self.began.set()
        self.wake()

    def wake(self) -> None:
        """Have who waits look again."""
        self._there.set()

    def hear(self, raw: bytes) -> None:
        """Take one message in."""
        self._skipped += len(self._waiting) == KEPT
        self._waiting.append(_line(told(raw, payload=self._payload)))
        self._there.set()

    async def some(self, within_s: float) -> bytes:
        """Return what there is, or comes in that time: whole lines, perhaps none."""
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
    """Return what is said of a message; `at` is in milliseconds, by Redis' clock."""
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
            # Not as it is: a line break in it would end the line.
            found["data"] = msgspec.json.decode(heard.data)
    except (ValueError, RecursionError):
        return {"type": "malformed", "bytes": len(raw)}
    return found


def _line(said: dict[str, Any]) -> bytes:
    return msgspec.json.encode(said) + b"\n"
