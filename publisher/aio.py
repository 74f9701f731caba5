"""The publisher for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Self

import redis.asyncio
from redis.exceptions import NoScriptError

from publisher.buffer import BROKEN, Buffer, Counters, Item
from publisher.connecting import (
    BATCH,
    TIMEOUT_S,
    Sending,
    connection_options,
    new_backoff,
    note_drop,
    note_retry,
)
from publisher.envelope import Envelope, Options
from publisher.errors import PublishError
from publisher.scripts import SCRIPTS, command
from publisher.verbs import Receipt, Verbs

_log = logging.getLogger("publisher")


class AsyncPublisher(Verbs[Coroutine[Any, Any, Receipt]]):
    """Publishes from asyncio, over one connection, in the order in which the calls were made.

    A call waits for Redis at most `timeout_s`; after that its event stays in a bounded buffer and is sent
    in order as soon as Redis answers. Once a call has begun to wait, its event is sent even if the caller
    is cancelled. Use one instance for the whole process, on one event loop, and `aclose()` it at the end.
    """

    def __init__(
        self, client: redis.asyncio.Redis, *, options: Options | None = None, sending: Sending | None = None
    ) -> None:
        self._client = client
        self._options = options or Options()
        self._sending = sending or Sending()
        self._buffer = Buffer(self._sending.buffer_events, self._sending.buffer_bytes)
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        options: Options | None = None,
        strict: bool = False,
        timeout_s: float = TIMEOUT_S,
        **connection: Any,
    ) -> Self:
        """Make a publisher for a Redis or Valkey URL; `connection` goes to redis-py's connection as it is."""
        client = redis.asyncio.Redis.from_url(url, **connection_options(connection))
        return cls(client, options=options, sending=Sending(strict=strict, timeout_s=timeout_s))

    @property
    def unsent(self) -> int:
        """How many events wait in the buffer, the ones under way among them."""
        return len(self._buffer)

    @property
    def counters(self) -> Counters:
        """What this publisher has done so far."""
        return self._buffer.counters

    async def aclose(self, timeout_s: float = 5.0) -> int:
        """Send what waits, for at most `timeout_s`, and disconnect; give how many events were left unsent."""
        self._closed = True
        if self._sender is not None:
            self._emptied.clear()
            self._filled.set()
            if len(self._buffer):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._emptied.wait(), timeout_s)
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._client.aclose()
        if len(self._buffer):
            _log.error("publisher closed with %d events unsent", len(self._buffer))
        return len(self._buffer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def _send(self, envelope: Envelope) -> Receipt:
        if self._closed:
            raise PublishError("the publisher is closed")
        loop = asyncio.get_running_loop()
        if self._sender is None or self._sender.done():
            self._sender = loop.create_task(self._send_all(), name="publisher")
        waiter: asyncio.Future[Receipt] = loop.create_future()
        item = Item(envelope, waiter)
        note_drop(self._buffer.put(item), self._buffer.counters)
        self._filled.set()
        await asyncio.wait((waiter,), timeout=self._sending.timeout_s)
        return self._sending.outcome(self._buffer, item, waiter)

    async def _send_all(self) -> None:
        backoff, failures = new_backoff(), 0
        while True:
            # After a failure one event goes ahead alone: were the server to change its mind in the middle
            # of a batch, later events would overtake earlier ones.
            items = self._buffer.take(1 if failures else BATCH)
            if not items:
                self._emptied.set()
                self._filled.clear()
                await self._filled.wait()
                continue
            try:
                results: Sequence[Any] | Exception = await self._execute(items)
            except BROKEN as error:
                results = error
            trouble = self._buffer.settle(items, results)
            if trouble is None:
                failures = 0
            elif isinstance(trouble, NoScriptError):
                await self._load_scripts()
            else:
                failures += 1
                note_retry(failures, trouble, len(self._buffer))
                await asyncio.sleep(backoff.compute(failures))

    async def _execute(self, items: Sequence[Item]) -> Sequence[Any]:
        if len(items) == 1:
            try:
                return [await self._client.evalsha(*command(items[0].envelope))]
            except BROKEN:
                raise
            except Exception as error:  # noqa: BLE001  # what Redis said of this one event
                return [error]
        async with self._client.pipeline(transaction=False) as pipe:
            for item in items:
                pipe.evalsha(*command(item.envelope))
            return await pipe.execute(raise_on_error=False)

    async def _load_scripts(self) -> None:
        with contextlib.suppress(*BROKEN):
            for script in SCRIPTS.values():
                await self._client.script_load(script.source)
