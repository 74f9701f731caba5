"""Both publishers under one face, so that one test is the contract of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import redis
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, Counters, Options, Publisher, Receipt, Room, Sending, conversation
from publisher.sending import connection_options
from tests.outbox.published import published as logged
from tests.support.tokens import new_id


class Sender:
    """A publisher, asyncio's or the blocking one; blocking calls run in threads."""

    def __init__(self, kind: str, url: str, options: Options | None, sending: Sending, connection: dict[str, Any]):
        chosen = connection_options(connection)
        self.publisher: AsyncPublisher | Publisher
        if kind == "async":
            asking = redis.asyncio.Redis.from_url(url, **chosen)
            self.publisher = AsyncPublisher(asking, options=options, sending=sending)
        else:
            blocking = redis.Redis.from_url(url, **chosen)
            self.publisher = Publisher(blocking, options=options, sending=sending)
        self.org = new_id()
        self.room = conversation(new_id())

    @property
    def counters(self) -> Counters:
        return self.publisher.counters

    @property
    def unsent(self) -> int:
        return self.publisher.unsent

    @property
    def is_sending(self) -> bool:
        """Whether an event is under way just now."""
        return any(item.under_way for lane in self.publisher._lanes for item in [*lane.buffer._items])

    async def emit(self, data: Any, to: Room | None = None, **more: Any) -> Receipt:
        """Publish `data` to the sender's own room, or another."""
        if isinstance(self.publisher, AsyncPublisher):
            return await self.publisher.emit(self.org, "e", data, to=to or self.room, **more)
        return await asyncio.to_thread(self.publisher.emit, self.org, "e", data, to=to or self.room, **more)

    async def call(self, verb: str, *args: Any, **more: Any) -> Receipt:
        """Call any verb for the sender's organization."""
        if isinstance(self.publisher, AsyncPublisher):
            receipt: Receipt = await getattr(self.publisher, verb)(self.org, *args, **more)
            return receipt
        return await asyncio.to_thread(getattr(self.publisher, verb), self.org, *args, **more)

    async def emit_all(self, data: Iterable[Any], **more: Any) -> list[Receipt]:
        """Publish in this order: at once where a call does not block, one after the other where it does."""
        if isinstance(self.publisher, AsyncPublisher):
            return await asyncio.gather(*(self.emit(item, **more) for item in data))
        return [await self.emit(item, **more) for item in data]

    async def close(self, timeout_s: float = 5.0) -> int:
        if isinstance(self.publisher, AsyncPublisher):
            return await self.publisher.aclose(timeout_s)
        return await asyncio.to_thread(self.publisher.close, timeout_s)


Senders = Callable[..., Sender]


@dataclass
class Site:
    """A server, publishers that send to it, and what it has of theirs."""

    senders: Senders
    url: str
    redis: Any  # redis.asyncio.Redis, whose commands are not typed

    def sender(self, **options: Any) -> Sender:
        return self.senders(self.url, **options)

    async def published(self, sender: Sender, room: Room | None = None) -> list[Any]:
        return await published(self.redis, sender, room)


@pytest_asyncio.fixture(params=["async", "blocking"])
async def senders(request: pytest.FixtureRequest) -> AsyncIterator[Senders]:
    """Make publishers: `senders(url, strict=True, timeout_s=…, options=…, connection={…})`."""
    made: list[Sender] = []

    def make(
        url: str, *, options: Options | None = None, connection: dict[str, Any] | None = None, **sending: Any
    ) -> Sender:
        made.append(Sender(request.param, url, options, Sending(**sending), connection or {}))
        return made[-1]

    yield make
    for sender in made:
        await sender.close(timeout_s=0.0)


@pytest.fixture
def site(senders: Senders, redis_server: EmbeddedRedis, redis_client: Any) -> Site:
    return Site(senders, redis_server.url, redis_client)


async def published(client: Any, sender: Sender, room: Room | None = None) -> list[Any]:
    """What a room's log holds, oldest first, as it was given to the publisher."""
    return await logged(client, sender.org, room or sender.room)
