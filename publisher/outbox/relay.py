"""The relay: publishes the committed rows of the outbox and deletes them, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import redis.asyncio
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, Table, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from publisher.address import parse_address
from publisher.aio.servers import AsyncServers
from publisher.envelope import Options
from publisher.lanes import sharded
from publisher.outbox.claim import SUPPORTED, Limits, next_rows, settle
from publisher.outbox.database import Database, reason
from publisher.outbox.delivery import Delivery, Outcome
from publisher.outbox.table import outbox_table
from publisher.sending import connection_options, new_backoff

_log = logging.getLogger("publisher.outbox")


@dataclass(frozen=True, slots=True)
class Relaying:
    """The options of a relay: pace, portions and waiting for replicas."""

    poll_interval_s: float = 0.1
    """Seconds between two looks at the table while it has no rows to publish."""
    batch: int = 128
    """Rows that the relay claims at a time, of all tenants together."""
    tenants: int = 8
    """Tenants that the relay claims at a time; other relays can work for the others."""
    hold_s: float = 30.0
    """Seconds of publishing before the claim ends. PostgreSQL ends a relay that hangs after twice that."""
    keep_key_s: float = 7 * 86_400.0
    """Seconds for which a row that was published but not deleted is not published again."""
    wait_replicas: int = 0
    """Redis replicas that must have an event before its row is deleted."""

    def __post_init__(self) -> None:
        for name in ("poll_interval_s", "batch", "tenants", "hold_s", "keep_key_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")


@dataclass(slots=True)
class RelayCounters:
    """The counters of a relay since it was made. Each only grows."""

    relayed: int = 0
    """Rows that Redis has and that were deleted."""
    duplicates: int = 0
    """Relayed rows that Redis did not publish, because it knew their key or a later version."""
    refused: int = 0
    """Rows set aside because they can never be published; their column `refused` says why."""
    failures: int = 0
    """Attempts that ended with an error of Redis or the database."""


class OutboxRelay:
    """Publishes the outbox in order for each tenant. Any number of relays may run, anywhere.

    The engine may be asynchronous or blocking; the caller closes it. The relay uses one connection of its pool at
    a time. Prefer an asynchronous engine: its calls can be cancelled. This folder's README lists the guarantees.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        client: redis.asyncio.Redis | AsyncServers,
        *,
        table: Table | None = None,
        options: Options | None = None,
        relaying: Relaying | None = None,
    ) -> None:
        if engine.dialect.name not in SUPPORTED:
            raise ValueError(f"the outbox works on {' and '.join(SUPPORTED)}, not on {engine.dialect.name}")
        self.counters = RelayCounters()
        self._table = outbox_table() if table is None else table
        self._relaying = relaying = relaying or Relaying()
        self._limits = Limits(relaying.batch, relaying.tenants, relaying.hold_s)
        self._database = Database(engine)
        servers = client if isinstance(client, AsyncServers) else AsyncServers(client)
        self._delivery = Delivery(
            servers, options or Options(), keep_key_s=relaying.keep_key_s, replicas=relaying.wait_replicas
        )
        self._awake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._after = ""

    @classmethod
    def from_url(
        cls,
        engine: Engine | AsyncEngine,
        redis_url: object,
        *,
        table: Table | None = None,
        options: Options | None = None,
        relaying: Relaying | None = None,
        **connection: Any,
    ) -> Self:
        """Return a relay for a Redis URL (see `publisher.address`); `connection` goes to redis-py unchanged."""
        chosen = connection_options({"client_name": "outbox-relay"} | connection)
        address = parse_address(redis_url)
        if address.kind == "cluster":
            options = sharded(options)
        return cls(engine, AsyncServers.at(address, chosen), table=table, options=options, relaying=relaying)

    async def run(self) -> None:
        """Relay until `stop` is called or the task is cancelled. Call it only once.

        Neither loses or doubles an event: the next attempt recognizes a row that was published but not deleted.
        Errors of Redis or the database are logged, counted and tried again, at first after 50 to 100 ms, later
        after 250 to 500 ms.
        """
        backoff, failures = new_backoff(), 0
        try:
            while not self._stopping.is_set():
                try:
                    found = await self._sweep()
                except Exception as trouble:  # noqa: BLE001  # drivers raise what they like
                    failures += 1
                    self._note_trouble(trouble, failures)
                    await _wait(self._stopping, backoff.compute(failures))
                else:
                    failures = 0
                    if not found:
                        await _wait(self._awake, self._relaying.poll_interval_s)
                        self._awake.clear()
        finally:
            await self.aclose()

    def stop(self) -> None:
        """Make `run` end after its current claim, for which it publishes at most `hold_s` seconds."""
        self._stopping.set()
        self._awake.set()

    def wake(self) -> None:
        """Make the relay look at the table now. Call it after a commit, in its event loop, to save the wait."""
        self._awake.set()

    async def check(self) -> None:
        """Reach Redis and the database once, before `run`; raises their errors, `LookupError` without a table."""
        await self._delivery.ping()
        async with self._database.connect() as run:
            if not await run(partial(_has, table=self._table)):
                raise LookupError(f"the database has no table {self._table.fullname}")

    async def aclose(self) -> None:
        """Close the connections of a relay that was never run; `run` closes them at its end."""
        await self._delivery.aclose()
        await self._database.aclose()

    async def _sweep(self) -> int:
        """Relay rows of all remaining tenants, up to the last; return the number of rows that were found."""
        found = 0
        while not self._stopping.is_set():
            _heed_cancellation()
            found += await self._relay_some()
            if not self._after:
                break
        return found

    async def _relay_some(self) -> int:
        """Claim rows of the next tenants, publish and delete them; return the number of claimed rows."""
        hold_s = self._relaying.hold_s
        async with asyncio.timeout(2 * hold_s), self._database.connect() as run:
            claim = await run(partial(next_rows, table=self._table, after=self._after, limits=self._limits))
            # Even after a failure, the next tenants have their turn.
            self._after = claim.last_tenant or ""
            outcome = await self._delivery.publish(claim.rows, time.monotonic() + hold_s)
            if outcome.done or outcome.refused:
                await run(partial(settle, table=self._table, done=outcome.done, refused=outcome.refused))
        self._count(outcome)
        await self._delivery.release(outcome.keys)
        if outcome.trouble is not None:
            raise outcome.trouble
        return len(claim.rows)

    def _count(self, outcome: Outcome) -> None:
        self.counters.relayed += len(outcome.done)
        self.counters.duplicates += outcome.duplicates
        self.counters.refused += len(outcome.refused)
        for ident, why in outcome.refused.items():
            _log.error("row %d of %s is set aside: %s", ident, self._table.fullname, why)

    def _note_trouble(self, trouble: Exception, failures: int) -> None:
        """Count a failure; log it at the 1st in a row, the 2nd, the 4th, the 8th and so on."""
        self.counters.failures += 1
        if failures & (failures - 1) == 0:
            expected = isinstance(trouble, (SQLAlchemyError, RedisError, OSError))
            _log.warning(
                "nothing is relayed (%s); attempt %d",
                reason(trouble),
                failures,
                exc_info=None if expected else trouble,
            )


def _heed_cancellation() -> None:
    """Raise `CancelledError` in a cancelled task: Python 3.11's `wait_for`, used by redis-py, may swallow it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _has(connection: Connection, table: Table) -> bool:
    return inspect(connection).has_table(table.name, table.schema)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
