"""The publisher for asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Self

import redis.asyncio

from publisher.aio.lane import AsyncLane
from publisher.aio.servers import AsyncServers
from publisher.base import PublisherBase
from publisher.buffer import Item
from publisher.counters import Counters
from publisher.envelope import Envelope, Options
from publisher.errors import PublishError
from publisher.lanes import Lanes
from publisher.sending import Sending
from publisher.verbs import Receipt

_log = logging.getLogger("publisher")


class AsyncPublisher(PublisherBase[Coroutine[Any, Any, Receipt], AsyncServers]):
    """Publishes from asyncio in the order of the calls, over one connection (in a cluster: one per shard).

    A call waits for Redis at most `timeout_s`. After that its event stays in a bounded buffer, and is sent
    in order as soon as Redis answers. Once a call has begun to wait, its event is sent even if the caller
    is cancelled. Use one instance for the whole process, on one event loop, and `aclose()` it at the end.
    """

    _servers_at = AsyncServers.at

    def __init__(
        self,
        client: redis.asyncio.Redis | AsyncServers,
        *,
        options: Options | None = None,
        sending: Sending | None = None,
    ) -> None:
        servers = client if isinstance(client, AsyncServers) else AsyncServers(client)
        super().__init__(servers, options=options, sending=sending)
        self._lanes = Lanes(servers.topology, lambda: AsyncLane(servers, self._sending))

    @property
    def unsent(self) -> int:
        """Return the number of events in the buffer, including those under way."""
        return self._lanes.unsent

    @property
    def counters(self) -> Counters:
        """Return the numbers of events that were sent, buffered, dropped and refused so far: see `Counters`."""
        return self._lanes.counters()

    async def aclose(self, timeout_s: float = 5.0) -> int:
        """Send events for at most `timeout_s` seconds, then disconnect; return the number of unsent events."""
        self._closed = True
        await asyncio.gather(*(lane.aclose(timeout_s) for lane in self._lanes))
        await self._servers.aclose()
        if self.unsent:
            _log.error("publisher closed with %d events unsent", self.unsent)
        return self.unsent

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def _send(self, envelope: Envelope) -> Receipt:
        if self._closed:
            raise PublishError("the publisher is closed")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Receipt | PublishError] = loop.create_future()
        item = Item(envelope, waiter)
        lane = self._lanes.of(envelope)
        lane.put(item)
        patience = loop.call_later(self._sending.timeout_s, self._sending.give_up, lane.buffer, item)
        try:
            return self._sending.outcome(await waiter)
        finally:
            patience.cancel()
