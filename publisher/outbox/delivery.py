"""Publishing rows to Redis: each tenant's in order, the next only once the one before is acknowledged.

Of a cluster, a shard that is away holds up no other's rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import redis.asyncio
from redis.exceptions import NoScriptError

from publisher.address import Node
from publisher.aio_lane import AsyncServers
from publisher.buffer import BROKEN
from publisher.connecting import REPLICAS_TIMEOUT_MS, check_replicas
from publisher.envelope import Envelope, Options
from publisher.errors import InvalidEvent
from publisher.lanes import heed
from publisher.outbox.claim import Stored
from publisher.outbox.entry import CONTROL, envelope_of
from publisher.scripts import SCRIPTS, command


@dataclass(slots=True)
class Outcome:
    """What became of some rows; those that are neither done nor refused are still to be published."""

    done: list[int] = field(default_factory=list)
    duplicates: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    """Those that can't be made an event any more, with the reason."""
    keys: list[str] = field(default_factory=list)
    """Idempotency keys of those that are done."""
    trouble: Exception | None = None
    """Why some were left."""


class _Item(NamedTuple):
    id: int
    envelope: Envelope


class Delivery:
    """Publishes to servers; a row's key holds for `keep_key_s`, until `release` is told it is gone."""

    def __init__(self, servers: AsyncServers, options: Options, *, keep_key_s: float, replicas: int = 0) -> None:
        self._servers = servers
        self._replicas = replicas
        self._options = replace(options, once_ttl_s=max(keep_key_s, options.once_ttl_s))
        self._released_ttl_ms = int(options.once_ttl_s * 1000)

    async def publish(
        self, rows: Sequence[Stored], until: float, clock: Callable[[], float] = time.monotonic
    ) -> Outcome:
        """Publish rows, but begin nothing more at `until`; never raises for trouble with Redis.

        A round trip carries one row of each tenant. More of them would be faster, but a server that
        refuses one and takes the next, being short of memory, would change their order.
        """
        outcome = Outcome()
        queues = self._queues(rows, outcome)
        while queues and clock() < until:
            heads = [queue.popleft() for queue in queues.values()]
            for item, result in zip(heads, await self._execute(heads), strict=True):
                tenant = item.envelope.tenant
                if not _note(item, result, outcome) or not queues[tenant]:
                    del queues[tenant]
        return outcome

    async def release(self, keys: Sequence[str]) -> None:
        """Let keys whose rows are gone for good end as every publisher's do.

        Not at once: a relay that lost its claim may have the same row on its way. Where this fails, the
        keys hold longer than they need to.
        """
        owners, _ = await self._owners(keys)
        for node, found in owners.items():
            with contextlib.suppress(*BROKEN):
                async with self._servers.client(node).pipeline(transaction=False) as pipe:
                    for i in found:
                        pipe.pexpire(keys[i], self._released_ttl_ms, lt=True)
                    await pipe.execute(raise_on_error=False)

    async def ping(self) -> None:
        """Reach for the server, of a cluster for one; raises what redis-py raises."""
        await self._servers.client(await self._servers.owner("")).ping()

    async def aclose(self) -> None:
        """Disconnect."""
        await self._servers.aclose()

    def _queues(self, rows: Sequence[Stored], outcome: Outcome) -> dict[str, deque[_Item]]:
        queues: dict[str, deque[_Item]] = {}
        for row in rows:
            try:
                item = _Item(row.id, envelope_of(row.entry, self._options))
            except InvalidEvent as error:
                outcome.refused[row.id] = str(error)
            else:
                queues.setdefault(row.entry.tenant, deque()).append(item)
        return queues

    async def _owners(self, keys: Iterable[str]) -> tuple[dict[Node | None, list[int]], dict[int, Any]]:
        """Sort keys, by their numbers, by the nodes that take them; with what keeps one from having any."""
        owners: dict[Node | None, list[int]] = {}
        trouble: dict[int, Any] = {}
        for i, key in enumerate(keys):
            try:
                owners.setdefault(await self._servers.owner(key), []).append(i)
            except BROKEN as error:
                trouble[i] = error
        return owners, trouble

    async def _execute(self, items: Sequence[_Item]) -> Sequence[Any]:
        """Send an item each; give what Redis said of each, an exception where it did not take it."""
        owners, results = await self._owners(item.envelope.keys[0] for item in items)
        answers = [self._execute_at(node, [items[i] for i in found]) for node, found in owners.items()]
        for found, answer in zip(owners.values(), await asyncio.gather(*answers), strict=True):
            results |= zip(found, answer, strict=True)
        if any(isinstance(result, Exception) for result in results.values()):
            await self._servers.look_again()
        return [results[i] for i in range(len(items))]

    async def _execute_at(self, node: Node | None, items: Sequence[_Item]) -> Sequence[Any]:
        """The same with the items that one node takes."""
        client = self._servers.client(node)
        try:
            results = await self._send(client, items)
            unknown = [i for i, result in enumerate(results) if isinstance(result, NoScriptError)]
            if unknown:
                for script in SCRIPTS.values():
                    await client.script_load(script.source)
                again = await self._send(client, [items[i] for i in unknown])
                for i, result in zip(unknown, again, strict=True):
                    results[i] = result
        except BROKEN as error:
            return [error] * len(items)
        return heed(self._servers.topology, results, node)

    async def _send(self, client: redis.asyncio.Redis, items: Sequence[_Item]) -> list[Any]:
        async with client.pipeline(transaction=False) as pipe:
            for item in items:
                pipe.evalsha(*command(item.envelope))
            if self._replicas:
                pipe.execute_command("WAIT", self._replicas, REPLICAS_TIMEOUT_MS)
            results: list[Any] = await pipe.execute(raise_on_error=False)
        if self._replicas:
            check_replicas(results, self._replicas)
        return results


def _note(item: _Item, result: Any, outcome: Outcome) -> bool:
    """Keep what Redis said of a row; False where the tenant's next one must wait.

    Whatever it is that Redis says no to, it is never about one row: they were checked when they were
    written. So none is given up for it.
    """
    if isinstance(result, Exception):
        outcome.trouble = outcome.trouble or result
        return False
    outcome.done.append(item.id)
    outcome.duplicates += bool(result[0])
    if item.envelope.script != CONTROL:
        outcome.keys.append(item.envelope.keys[-1])
    return True
