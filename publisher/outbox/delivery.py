"""Publishing rows to Redis: each tenant's in order, those behind one that Redis refused not at all.

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
from publisher.aio.lane import AsyncServers
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
    """The outcome of some rows. Those that are neither done nor refused are still to be published."""

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

        A round trip carries one call of each tenant: a server that refuses a row of it refuses what follows.
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
        """Send an item each; return what Redis said of each, an exception where it did not take it."""
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
    """Take what of a tenant goes in one call off its queue."""
    items = [queue.popleft()]
    size = items[0].envelope.size
    while queue and len(items) < BATCH and CONTROL not in (items[0].envelope.script, queue[0].envelope.script):
        size += queue[0].envelope.size
        if size > BATCH_BYTES:
            break
        items.append(queue.popleft())
    return items


def _note(item: _Item, result: Result, outcome: Outcome) -> bool:
    """Keep what Redis said of a row; False where the tenant's next one must wait.

    Rows were checked when they were written, so what Redis says no to is never about one row, and none is given up
    for it; but for one that is larger than the gateways hand out, which will never get through.
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
