"""The publisher for asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Self

import redis.asyncio

from publisher.address import parse_address
from publisher.aio.lane import AsyncLane, AsyncServers
from publisher.buffer import Counters, Item
from publisher.envelope import Envelope, Options, Validate, validating
from publisher.errors import PublishError
from publisher.lanes import Lanes, sharded
from publisher.sending import TIMEOUT_S, Sending, connection_options
from publisher.verbs import Receipt, Verbs

_log = logging.getLogger("publisher")


class AsyncPublisher(Verbs[Coroutine[Any, Any, Receipt]]):
    """Publishes from asyncio, over one connection (to each shard), in the order in which the calls were made.

    A call waits for Redis at most `timeout_s`; after that its event stays in a bounded buffer and is sent
    in order as soon as Redis answers. Once a call has begun to wait, its event is sent even if the caller
    is cancelled. Use one instance for the whole process, on one event loop, and `aclose()` it at the end.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis | AsyncServers,
        *,
        options: Options | None = None,
        sending: Sending | None = None,
    ) -> None:
        self._servers = client if isinstance(client, AsyncServers) else AsyncServers(client)
        self._options = options or Options()
        self._sending = sending or Sending()
        self._lanes = Lanes(self._servers.topology, lambda: AsyncLane(self._servers, self._sending))
        self._closed = False

    @classmethod
    def from_url(
        cls,
        url: object,
        *,
        options: Options | None = None,
        strict: bool = False,
        timeout_s: float = TIMEOUT_S,
        wait_replicas: int = 0,
        validate: Validate | None = None,
        **connection: Any,
    ) -> Self:
        """Make a publisher for a Redis or Valkey URL, of Sentinels and a cluster too, see `publisher.address`.

        With `validate` events are held to their types in `publisher.events`: "warn" logs, once for each field,
        "raise" raises `InvalidEvent` at the call. `connection` goes to redis-py as it is. Raises `ValueError` for
        a URL that is none.
        """
        options = validating(options, validate)
        address = parse_address(url)
        servers = AsyncServers.at(address, connection_options(connection))
        sending = Sending(strict=strict, timeout_s=timeout_s, wait_replicas=wait_replicas)
        return cls(servers, options=sharded(options) if address.kind == "cluster" else options, sending=sending)

    @property
    def unsent(self) -> int:
        """Return the number of events that wait in the buffer, the ones under way among them."""
        return self._lanes.unsent

    @property
    def counters(self) -> Counters:
        """Return the counters of this publisher."""
        return self._lanes.counters()

    async def aclose(self, timeout_s: float = 5.0) -> int:
        """Send what waits, for at most `timeout_s`, and disconnect; return how many events were left unsent."""
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
