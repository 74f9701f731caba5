"""The publisher for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Self

import redis.asyncio
from redis.exceptions import ResponseError

from publisher.buffer import BROKEN, Buffer, Counters, Item
from publisher.connecting import (
    REPLICAS_TIMEOUT_MS,
    TIMEOUT_S,
    Pace,
    Sending,
    check_replicas,
    connection_options,
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
        self._connection: Any = None
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
        **connection: Any,
    ) -> Self:
        """Make a publisher for a Redis or Valkey URL; `connection` goes to redis-py as it is."""
        client = redis.asyncio.Redis.from_url(str(url), **connection_options(connection))
        sending = Sending(strict=strict, timeout_s=timeout_s, wait_replicas=wait_replicas)
        return cls(client, options=options, sending=sending)

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
        self._buffer.close()
        await self._disconnect()
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
        waiter: asyncio.Future[Receipt | PublishError] = loop.create_future()
        item = Item(envelope, waiter)
        note_drop(self._buffer.put(item), self._buffer.counters)
        self._filled.set()
        patience = loop.call_later(self._sending.timeout_s, self._sending.give_up, self._buffer, item)
        try:
            return self._sending.outcome(await waiter)
        finally:
            patience.cancel()

    async def _send_all(self) -> None:
        pace = Pace()
        task = asyncio.current_task()
        # Python 3.11's `wait_for`, under redis-py, may swallow a cancellation: then this sees it.
        while task is None or not task.cancelling():
            items = self._buffer.take(pace.most)
            if not items:
                self._emptied.set()
                self._filled.clear()
                await self._filled.wait()
                continue
            try:
                results: Sequence[Any] | Exception = await self._execute(items)
            except Exception as error:  # noqa: BLE001  # the buffer knows which ones pass
                results = error
                await self._disconnect()
            trouble = self._buffer.settle(items, results)
            if pace.wants_scripts(trouble):
                await self._load_scripts()
            elif trouble is not None:
                note_retry(pace.failures, trouble, len(self._buffer))
                await asyncio.sleep(pace.pause_s())

    async def _execute(self, items: Sequence[Item]) -> Sequence[Any]:
        """Send a batch in one write and read its replies; an error reply stands for its item."""
        connection = await self._connect()
        packed = [connection.pack_command("EVALSHA", *command(item.envelope)) for item in items]
        wanted = self._sending.wait_replicas
        if wanted:
            packed.append(connection.pack_command("WAIT", wanted, REPLICAS_TIMEOUT_MS))
        await connection.send_packed_command([b"".join(chunks) for chunks in packed])
        results: list[Any] = []
        for _ in items:
            try:
                results.append(await connection.read_response())
            except ResponseError as error:
                results.append(error)
        if wanted:
            check_replicas(await connection.read_response(), wanted)
        return results

    async def _connect(self) -> Any:
        """Give the one connection, without the pool's and the client's work at every command."""
        if self._connection is None:
            self._connection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await self._connection.connect()
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*BROKEN):
                await connection.disconnect(nowait=True)

    async def _load_scripts(self) -> None:
        try:
            connection = await self._connect()
            for script in SCRIPTS.values():
                await connection.send_command("SCRIPT", "LOAD", script.source)
                await connection.read_response()
        except Exception as error:  # noqa: BLE001  # the next attempt shows whether it matters
            _log.warning("can't load the scripts: %s", error)
            await self._disconnect()
