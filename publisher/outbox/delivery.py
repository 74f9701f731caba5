"""Publishes rows to Redis, each tenant's in order: after a row that failed, the tenant's later rows wait.

In a cluster, a shard that is away delays no other's rows.
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
from publisher.aio.servers import AsyncServers
from publisher.buffer import BATCH_BYTES, BROKEN
from publisher.calls import PUBLISHED, Result, calls_of, results_of
from publisher.envelope import Envelope, Options
from publisher.errors import InvalidEvent, PublishError
from publisher.lanes import heed
from publisher.outbox.claim import Stored
from publisher.outbox.entry import CONTROL, envelope_of
from publisher.scripts import SCRIPTS, command
from publisher.sending import BATCH, REPLICAS_TIMEOUT_MS, check_replicas


@dataclass(slots=True)
class Outcome:
    """The fate of a batch of rows, by their ids: published, or refused because they can never be published.

    Rows that are neither stay in the table and are published later.
    """

    done: list[int] = field(default_factory=list)
    duplicates: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    """Rows that can never be published, with the reason."""
    keys: list[str] = field(default_factory=list)
    """Redis keys with the idempotency of the events that are done."""
    trouble: Exception | None = None
    """The first error after which rows were left for later."""


class _Item(NamedTuple):
    id: int
    envelope: Envelope


class Delivery:
    """Publishes rows; a row's idempotency key holds for `keep_key_s` seconds, or shorter after `release`."""

    def __init__(self, servers: AsyncServers, options: Options, *, keep_key_s: float, replicas: int = 0) -> None:
        self._servers = servers
        self._replicas = replicas
        self._options = replace(options, once_ttl_s=max(keep_key_s, options.once_ttl_s))
        self._released_ttl_ms = int(options.once_ttl_s * 1000)

    async def publish(
        self, rows: Sequence[Stored], until: float, clock: Callable[[], float] = time.monotonic
    ) -> Outcome:
        """Publish rows, and start no round trip after `until` by `clock`; errors of Redis are in the outcome.

        A round trip has one call for each tenant: a server that refuses a row in it refuses all later ones.
        """
        outcome = Outcome()
        queues = self._queues(rows, outcome)
        while queues and clock() < until:
            heads = [item for queue in queues.values() for item in _next_call(queue)]
            for item, result in zip(heads, await self._execute(heads), strict=True):
                tenant = item.envelope.tenant
                if tenant in queues and not _note(item, result, outcome):
                    del queues[tenant]
            queues = {tenant: queue for tenant, queue in queues.items() if queue}
        return outcome

    async def release(self, keys: Sequence[str]) -> None:
        """Shorten the lifetime of the keys of deleted rows to that of every publisher's.

        The keys do not end at once, as a relay that lost its claim may still be sending the same row. If this
        fails, the keys hold longer than they need to.
        """
        owners, _ = await self._owners(keys)
        for node, found in owners.items():
            with contextlib.suppress(*BROKEN):
                async with self._servers.client(node).pipeline(transaction=False) as pipe:
                    for i in found:
                        pipe.pexpire(keys[i], self._released_ttl_ms, lt=True)
                    await pipe.execute(raise_on_error=False)

    async def ping(self) -> None:
        """Ping the server, or one node of a cluster; raises redis-py's errors."""
        await self._servers.client(await self._servers.owner("")).ping()

    async def aclose(self) -> None:
        """Close the connections to Redis."""
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
        """Return the indices of the keys that each node owns, and the errors of keys without a known owner."""
        owners: dict[Node | None, list[int]] = {}
        trouble: dict[int, Any] = {}
        for i, key in enumerate(keys):
            try:
                owners.setdefault(await self._servers.owner(key), []).append(i)
            except BROKEN as error:
                trouble[i] = error
        return owners, trouble

    async def _execute(self, items: Sequence[_Item]) -> Sequence[Any]:
        """Send items to the nodes that own them; return the result of each, an exception if it failed."""
        owners, results = await self._owners(item.envelope.keys[0] for item in items)
        answers = [self._execute_at(node, [items[i] for i in found]) for node, found in owners.items()]
        for found, answer in zip(owners.values(), await asyncio.gather(*answers), strict=True):
            results |= zip(found, answer, strict=True)
        if any(isinstance(result, Exception) for result in results.values()):
            await self._servers.look_again()
        return [results[i] for i in range(len(items))]

    async def _execute_at(self, node: Node | None, items: Sequence[_Item]) -> Sequence[Any]:
        """Send the items that one node owns; return the result of each."""
        client = self._servers.client(node)
        envelopes = [item.envelope for item in items]
        calls = calls_of(envelopes)
        commands = [command(*(envelopes[i] for i in call)) for call in calls]
        try:
            answers = await self._send(client, commands)
            unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if unknown:
                for script in SCRIPTS.values():
                    await client.script_load(script.source)
                again = await self._send(client, [commands[i] for i in unknown])
                for i, answer in zip(unknown, again, strict=True):
                    answers[i] = answer
        except BROKEN as error:
            return [error] * len(items)
        return results_of(envelopes, calls, heed(self._servers.topology, answers, node))

    async def _send(self, client: redis.asyncio.Redis, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        async with client.pipeline(transaction=False) as pipe:
            for each in commands:
                pipe.evalsha(*each)
            if self._replicas:
                pipe.execute_command("WAIT", self._replicas, REPLICAS_TIMEOUT_MS)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        if self._replicas:
            check_replicas(answers, self._replicas)
        return answers


def _next_call(queue: deque[_Item]) -> list[_Item]:
    """Remove the items of the next call from a tenant's queue, and return them."""
    items = [queue.popleft()]
    size = items[0].envelope.size
    while queue and len(items) < BATCH and CONTROL not in (items[0].envelope.script, queue[0].envelope.script):
        size += queue[0].envelope.size
        if size > BATCH_BYTES:
            break
        items.append(queue.popleft())
    return items


def _note(item: _Item, result: Result, outcome: Outcome) -> bool:
    """Record the result of a row; return whether the tenant's next row may follow.

    Rows were checked when they were written, so an error of Redis is never about one row, and the row is tried
    again. Only a row that is larger than gateways can deliver is refused: it would never succeed.
    """
    if isinstance(result, PublishError) and result.code:
        outcome.refused[item.id] = str(result)
        return True
    if result is None or isinstance(result, Exception):
        outcome.trouble = outcome.trouble or result
        return False
    outcome.done.append(item.id)
    outcome.duplicates += result[0].status != PUBLISHED
    if item.envelope.script != CONTROL:
        outcome.keys.append(item.envelope.keys[-1])
    return True
