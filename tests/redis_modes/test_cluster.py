"""A cluster: what happens to one shard happens to its tenants alone, and they miss nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import redis

from publisher import AsyncPublisher, Publisher, conversation
from publisher.topology import slot_of
from tests.recovery.conftest import Team, numbers, type_both_ways
from tests.redis_modes.conftest import Flows, every_server, falls_silent_and_comes_back, joined
from tests.support.client import Clients
from tests.support.redis_cluster import RedisCluster, ask
from tests.support.replica import Replicas
from tests.support.tokens import new_id
from tests.support.waiting import until

DEAF = ("redis_subscriber_deaf",)
Fault = Callable[[RedisCluster, Team], None]


def killed(cluster: RedisCluster, team: Team) -> None:
    """Kill the master of the team's shard."""
    cluster.owner(team.id).kill()


def kill_shard(cluster: RedisCluster, team: Team) -> None:
    """Kill the team's shard, both of its servers."""
    lost = cluster.owner(team.id)
    cluster.replica_of(lost).kill()
    lost.kill()


def failed_over(cluster: RedisCluster, team: Team) -> None:
    """Have the master of the team's shard change places with its replica."""
    cluster.fail_over(cluster.owner(team.id))


def migrated(cluster: RedisCluster, team: Team) -> None:
    """Move the team's slot to another shard, key by key."""
    source = cluster.owner(team.id)
    cluster.migrate(slot_of(f"{{{team.id}}}"), source, cluster.other_master(source))


def migrated_at_once(cluster: RedisCluster, team: Team) -> None:
    """Move it in one step; only some servers can."""
    source = cluster.owner(team.id)
    try:
        cluster.migrate_at_once(slot_of(f"{{{team.id}}}"), source, cluster.other_master(source))
    except redis.ResponseError as error:
        pytest.skip(f"this server can't move a slot in one step: {error}")


def team_on(cluster: RedisCluster, number: int) -> Team:
    """Make a team whose events are on the given shard."""
    return Team(cluster.tenant_of(cluster.masters[number], new_id))


@every_server
@pytest.mark.parametrize("fault", [killed, failed_over, migrated, migrated_at_once])
async def test_what_happens_to_a_shard_loses_nothing_and_disturbs_no_other(
    cluster: RedisCluster, replicas: Replicas, clients: Clients, flows: Flows, fault: Fault
) -> None:
    replica = replicas(cluster.url)
    here, elsewhere = team_on(cluster, 0), team_on(cluster, 1)
    client, away = await joined(clients, replica.url, here), await joined(clients, replica.url, here)
    other = await joined(clients, replica.url, elsewhere)
    flow, other_flow = flows(cluster.url, here), flows(cluster.url, elsewhere)
    await flow.more(20)
    away.drop()
    await asyncio.to_thread(fault, cluster, here)
    await other_flow.flows(other)
    await flow.flows(client)
    away.stay()
    await flow.arrived(client, away)
    await other_flow.arrived(other)
    assert away.recoveries == [True]
    assert client.recoveries == other.recoveries == []
    resynced = [line["tenant"] for line in replica.log_lines("tenant_resynced")]
    assert set(resynced) == {here.id}


async def test_a_master_that_falls_silent_is_left_and_comes_back_as_a_replica(
    cluster: RedisCluster, replicas: Replicas, clients: Clients, flows: Flows
) -> None:
    replica, team = replicas(cluster.url, may_log=DEAF), team_on(cluster, 0)
    client = await joined(clients, replica.url, team)
    flow = flows(cluster.url, team)
    await flow.more(20)
    await falls_silent_and_comes_back(cluster.owner(team.id), flow, client)


async def test_every_subscription_is_there_again_after_a_failover_and_a_reshard(
    cluster: RedisCluster, replicas: Replicas, clients: Clients
) -> None:
    replica, team = replicas(cluster.url), team_on(cluster, 0)
    client = await joined(clients, replica.url, team)
    rooms = [Team(team.id) for _ in range(150)]
    await asyncio.gather(*(client.join(each.talk) for each in rooms))
    async with AsyncPublisher.from_url(cluster.url) as events:
        for i, fault in enumerate((killed, migrated)):
            await asyncio.to_thread(fault, cluster, team)
            for number, each in enumerate(rooms):
                await events.emit(team.id, "test:event", {"n": number}, to=conversation(each.talk))
            await client.wait_for("test:event", count=(i + 1) * len(rooms))
    assert numbers(client) == 2 * list(range(len(rooms)))
    assert client.recoveries == []


async def test_both_directions_work_after_a_slot_has_moved(
    cluster: RedisCluster, replicas: Replicas, clients: Clients, flows: Flows
) -> None:
    here, there = replicas(cluster.url), replicas(cluster.url)
    team = team_on(cluster, 0)
    author, reader = await joined(clients, here.url, team), await joined(clients, there.url, team, new_id())
    flow = flows(cluster.url, team)
    await asyncio.to_thread(migrated, cluster, team)
    await flow.flows(author, reader)
    await type_both_ways(author, reader, team)
    another = Team(team.id)
    await asyncio.gather(author.join(another.talk), reader.join(another.talk))
    newcomer = await joined(clients, there.url, team, new_id())
    await flow.arrived(author, reader)
    assert newcomer.recoveries == []


async def test_a_replica_is_ready_while_one_shard_of_three_is_away(
    cluster: RedisCluster, replicas: Replicas, clients: Clients, flows: Flows
) -> None:
    replica, away, there = replicas(cluster.url), team_on(cluster, 0), team_on(cluster, 1)
    kill_shard(cluster, away)
    await until(lambda: replica.log_lines("redis_commands_lost"))
    client = await joined(clients, replica.url, there)
    assert (await asyncio.to_thread(replica.get, "/health/ready"))[0] == 200
    refused = clients(replica.url, away.token())
    with pytest.raises(ConnectionError):
        await refused.connect()
    assert client.connected


def test_the_blocking_publisher_keeps_the_events_of_a_shard_that_is_away_and_sends_the_others(
    cluster: RedisCluster,
) -> None:
    away, there = team_on(cluster, 0), team_on(cluster, 1)
    with Publisher.from_url(cluster.url) as events:
        for team in (away, there):
            assert events.emit(team.id, "e", 1, to=conversation(team.talk)).offset
        killed(cluster, away)
        both = ((n, team) for n in (2, 3) for team in (away, there))
        receipts = [events.emit(team.id, "e", n, to=conversation(team.talk)) for n, team in both]
        assert [receipt.queued for receipt in receipts] == [True, False, True, False]
        assert events.unsent == 2
        assert events.close(20.0) == 0
        assert events.counters.sent == 6
    entries = ask(cluster.owner(away.id), "XRANGE", f"rt:{{{away.id}}}:log:conversation:{away.talk}", "-", "+")
    assert [fields[1] for _, fields in entries] == [b'["e",1]', b'["e",2]', b'["e",3]']
