"""The outbox's relay with a cluster: what happens to a shard is the matter of its tenants alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from publisher import conversation, wire
from publisher.rooms import Room
from tests.outbox.conftest import Relays, relays
from tests.outbox.databases import BackendDatabase
from tests.recovery.conftest import Team
from tests.redis_modes.test_cluster import Fault, failed_over, kill_shard, killed, migrated, team_on
from tests.support.redis_cluster import RedisCluster, ask
from tests.support.waiting import until

__all__ = ["relays"]


@pytest.fixture
def redis_server() -> None:
    """None beside the cluster."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[BackendDatabase]:
    with BackendDatabase(f"sqlite:///{tmp_path}/backend.db") as database:
        yield database


def add(database: BackendDatabase, team: Team, *numbers: int) -> None:
    with database.transaction() as events:
        for number in numbers:
            events.emit(team.id, "e", number, to=conversation(team.talk))


def published(cluster: RedisCluster, team: Team) -> list[Any]:
    entries = ask(cluster.owner(team.id), "XRANGE", wire.log_key(team.id, Room(conversation(team.talk))), "-", "+")
    return [json.loads(fields[fields.index(wire.LogField.BODY) + 1])[1] for _, fields in entries]


@pytest.mark.parametrize(
    ("fault", "wait_replicas"), [(killed, 0), (failed_over, 0), (failed_over, 1), (migrated, 0), (migrated, 1)]
)
async def test_rows_go_on_where_their_slot_is_by_now_each_once_and_in_order(
    cluster: RedisCluster, relays: Relays, database: BackendDatabase, fault: Fault, wait_replicas: int
) -> None:
    relay = relays(database.url, cluster.url, wait_replicas=wait_replicas)
    here, there = team_on(cluster, 0), team_on(cluster, 1)
    for team in (here, there):
        add(database, team, 1, 2)
    await until(database.is_empty)
    await asyncio.to_thread(fault, cluster, here)
    for team in (here, there):
        add(database, team, 3, 4)
    await until(database.is_empty)
    for team in (here, there):
        assert published(cluster, team) == [1, 2, 3, 4]
    await until(lambda: relay.counters.relayed == 8, what="the relay to have counted all")


async def test_a_shard_that_is_away_holds_up_no_other_tenants_rows(
    cluster: RedisCluster, relays: Relays, database: BackendDatabase
) -> None:
    away, there = team_on(cluster, 0), team_on(cluster, 1)
    kill_shard(cluster, away)
    for number in range(3):
        for team in (away, there):
            add(database, team, number)
    relay = relays(database.url, cluster.url)
    await until(lambda: relay.counters.relayed == 3)
    assert published(cluster, there) == [0, 1, 2]
    assert database.count() == 3


async def test_a_row_stays_until_a_replica_of_its_shard_has_it(
    cluster: RedisCluster, relays: Relays, database: BackendDatabase
) -> None:
    alone, there = team_on(cluster, 0), team_on(cluster, 1)
    cluster.replica_of(cluster.owner(alone.id)).kill()
    for team in (alone, there):
        add(database, team, 1)
    relay = relays(database.url, cluster.url, wait_replicas=1)
    await until(lambda: relay.counters.relayed == 1 and relay.counters.failures)
    assert database.count() == 1
    assert published(cluster, there) == [1]
