"""Order, and several relays: what was committed before an event was added comes before it, whoever relays."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import pytest
from sqlalchemy.exc import DBAPIError

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import organization, wire
from publisher.outbox import Outbox
from publisher.outbox.claim import Limits, next_rows
from tests.outbox.conftest import Backend, RelayProcesses, on_postgres
from tests.outbox.databases import BackendDatabase
from tests.support.tokens import new_id
from tests.support.waiting import until

TENANTS, WRITERS = 4, 3
LEAST, MOST = 40, 1000
"""Transactions of a writer; it ends in between, when every relay has done something."""


class Added(NamedTuple):
    """When an event was added, and when its transaction was surely over."""

    at: float
    committed: float


def write(
    database: BackendDatabase, tenants: list[str], name: int, enough: Callable[[], bool]
) -> dict[str, Added]:
    """Commit transactions of one to three events, and roll some back; return what was committed."""
    chance, committed = random.Random(name), dict[str, Added]()
    for i in range(MOST):
        if i >= LEAST and enough():
            break
        rolled_back = i % 5 == 4
        added: dict[str, float] = {}
        with database.engine.connect() as connection:
            events = database.outbox.within(connection)
            for j in range(chance.randint(1, 3)):
                org = chance.choice(tenants)
                ident = f"{name}.{i}.{j}"
                added[ident] = time.monotonic()
                events.emit(org, "step", "rolled back" if rolled_back else ident, to=organization(org))
            connection.rollback() if rolled_back else connection.commit()
        if not rolled_back:
            end = time.monotonic()
            committed |= {ident: Added(at, end) for ident, at in added.items()}
    return committed


def assert_in_order(events: list[str], added: dict[str, Added]) -> None:
    """Fail if an event came before one that was committed before it was even added."""
    earliest = float("inf")
    for event in reversed(events):
        assert earliest > added[event].at, f"{event} overtook another"
        earliest = min(earliest, added[event].committed)


async def test_several_relays_under_load_keep_every_tenants_order(
    backend: Backend, relay_processes: RelayProcesses, redis_server: EmbeddedRedis
) -> None:
    asyncio.get_running_loop().set_debug(False)
    tenants = [new_id() for _ in range(TENANTS)]
    for org in tenants:  # as a gateway asks for it, whoever publishes
        await backend.redis.hset(wire.meta_key(org), "keep", 100_000)
    process = relay_processes.on(backend.database.url, redis_server.url)
    await until(process.is_relaying)
    tasks = [backend.relay(batch=8, tenants=2) for _ in range(2)]
    added: dict[str, Added] = {}
    with ThreadPoolExecutor(WRITERS) as pool:
        job = partial(
            write, backend.database, tenants, enough=lambda: all(task.counters.relayed for task in tasks)
        )
        writers = [asyncio.get_running_loop().run_in_executor(pool, job, name) for name in range(WRITERS)]
        for done in await asyncio.gather(*writers):
            added |= done
    await until(backend.database.is_empty)
    found = [await backend.published(org=org) for org in tenants]
    assert sorted(event for events in found for event in events) == sorted(added)
    for events in found:
        assert_in_order(events, added)
    status, _ = process.terminate()
    assert status == 0
    assert all(task.counters.relayed for task in tasks), "several relays took part"


def test_the_check_of_the_order_finds_an_event_that_was_overtaken() -> None:
    added = {"a": Added(1.0, 2.0), "b": Added(3.0, 4.0), "c": Added(1.5, 3.5)}
    assert_in_order(["a", "b", "c"], added)
    with pytest.raises(AssertionError, match="b overtook"):
        assert_in_order(["b", "c", "a"], added)


@on_postgres
async def test_a_transaction_that_commits_late_loses_nothing(backend: Backend) -> None:
    backend.relay()
    with backend.database.engine.begin() as slow:
        backend.database.outbox.within(slow).emit(backend.org, "number", 1, to=backend.room)
        backend.add(2)
        await until(backend.published, what="2, whose id is the higher one")
    await until(backend.database.is_empty)
    assert await backend.published() == [2, 1]


@on_postgres
async def test_with_strict_order_the_order_is_that_of_the_commits(backend: Backend) -> None:
    strict = Outbox(backend.database.table, strict_order=True)
    backend.relay()

    def add(tenant: str, number: int) -> None:
        with backend.database.engine.begin() as connection:
            strict.within(connection).emit(tenant, "number", number, to=organization(tenant))

    with ThreadPoolExecutor(1) as pool, backend.database.engine.begin() as slow:
        strict.within(slow).emit(backend.org, "number", 1, to=backend.room)
        add(new_id(), 1)
        second = pool.submit(add, backend.org, 2)
        await until(partial(is_waiting, backend.database))
        assert not second.done()
        slow.commit()
    await until(backend.database.is_empty)
    assert await backend.published() == [1, 2]


def is_waiting(database: BackendDatabase) -> bool:
    """Return whether some transaction waits for an advisory lock."""
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("select 1 from pg_locks where locktype = 'advisory' and not granted")
        return found.first() is not None


@on_postgres
async def test_a_tenant_is_one_relays_at_a_time_and_the_others_go_on(backend: Backend) -> None:
    backend.org, other = sorted([new_id(), new_id()])
    for tenant in (backend.org, other):
        backend.add(1, org=tenant)
    with backend.database.engine.connect() as connection:
        held = next_rows(connection, backend.database.table, "", Limits(rows=10, tenants=1, hold_s=60))
        assert [row.entry.tenant for row in held.rows] == [backend.org]
        backend.relay()
        await until(lambda: backend.database.count() == 1)
        assert await backend.published() == []
        connection.rollback()
    await until(backend.database.is_empty)
    assert await backend.published() == [1]


@on_postgres
async def test_a_relay_that_hangs_is_ended_by_the_server_and_another_goes_on(backend: Backend) -> None:
    backend.add(1)
    with backend.database.engine.connect() as connection:
        assert next_rows(connection, backend.database.table, "", Limits(rows=10, tenants=1, hold_s=0.1)).rows
        backend.relay()
        await until(backend.database.is_empty)
        with pytest.raises(DBAPIError, match="idle-in-transaction"):
            connection.exec_driver_sql("select 1")
