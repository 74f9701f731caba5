"""Sentinels: their master is found, left when it is none any more, and found again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.redis.commands import Commands
from gateway.redis.connection import RedisUnavailable, ReplyError, Source
from publisher import Publisher, conversation
from tests.recovery.conftest import Team, numbers
from tests.redis_modes.conftest import NEWEST, SERVERS, Flows, falls_silent_and_comes_back, joined
from tests.support.client import Clients
from tests.support.redis_cluster import ask
from tests.support.redis_sentinel import Sentinels
from tests.support.replica import Replicas
from tests.support.tokens import new_id
from tests.support.waiting import until, until_sync

DEAF = ("redis_subscriber_deaf",)
Fault = Callable[[Sentinels], None]


def killed(sentinels: Sentinels) -> None:
    """Kill the master."""
    sentinels.master.kill()


def failed_over(sentinels: Sentinels) -> None:
    """Have the Sentinels make the replica the master, with both alive."""
    sentinels.fail_over()


@pytest.mark.parametrize(
    ("fault", "server"),
    [*((killed, server) for server in SERVERS), (failed_over, NEWEST)],
    indirect=["server"],
)
async def test_a_failover_loses_nothing_that_the_replica_has(
    sentinels: Sentinels, replicas: Replicas, clients: Clients, flows: Flows, fault: Fault
) -> None:
    replica, team, replica_before = replicas(sentinels.url), Team(), sentinels.replica
    client, away = await joined(clients, replica.url, team), await joined(clients, replica.url, team)
    flow = flows(sentinels.url, team)
    master = sentinels.master
    await flow.more(20)
    away.drop()
    if fault is failed_over:
        # Between the replica's promotion and its own demotion the old master goes on taking what is lost then.
        flow.going.clear()
    await asyncio.to_thread(fault, sentinels)
    await until(lambda: sentinels.is_master(replica_before))
    if fault is failed_over:
        await until(lambda: sentinels.is_replica(master))
        flow.going.set()
    await flow.flows(client)
    away.stay()
    await flow.arrived(client, away)
    assert (client.recoveries, away.recoveries) == ([], [True])


async def test_a_master_that_falls_silent_is_left_and_comes_back_as_a_replica(
    sentinels: Sentinels, replicas: Replicas, clients: Clients, flows: Flows
) -> None:
    replica, team = replicas(sentinels.url, may_log=DEAF), Team()
    client = await joined(clients, replica.url, team)
    flow = flows(sentinels.url, team)
    await flow.more(20)
    await falls_silent_and_comes_back(sentinels.master, flow, client)


async def test_and_26_every_subscription_and_both_directions_are_there_again(
    sentinels: Sentinels, replicas: Replicas, clients: Clients, flows: Flows
) -> None:
    here, there, team = replicas(sentinels.url), replicas(sentinels.url), Team()
    author, reader = await joined(clients, here.url, team), await joined(clients, there.url, team, new_id())
    rooms = [Team(team.id) for _ in range(50)]
    await asyncio.gather(*(client.join(each.talk) for each in rooms for client in (author, reader)))
    await asyncio.to_thread(killed, sentinels)
    seen = len(reader.named("test:event"))
    streams = [flows(sentinels.url, each) for each in rooms]
    await until(lambda: len(reader.named("test:event")) >= seen + 3 * len(rooms))
    await asyncio.gather(*(stream.stop() for stream in streams))
    goal = sum(stream.sent for stream in streams)
    for client in (author, reader):
        await client.wait_for("test:event", count=goal)
        assert sorted(numbers(client)) == sorted(n for stream in streams for n in range(stream.sent))
    author.emit("typing_start", {"conversation_id": team.talk})
    await reader.wait_for("user_typing")
    assert (author.recoveries, reader.recoveries) == ([], [])


async def test_a_master_that_was_demoted_behind_its_back_is_left(
    sentinels: Sentinels, replicas: Replicas, clients: Clients, flows: Flows
) -> None:
    """REPLICAOF closes no connection: only that it takes no writes shows that it is no master."""
    replica, team = replicas(sentinels.url), Team()
    client = await joined(clients, replica.url, team)
    flow = flows(sentinels.url, team)
    await flow.more(20)
    master, other = sentinels.master, sentinels.replica
    for sentinel in sentinels.sentinels:
        sentinel.kill()
    # What the master takes after the replica's promotion is lost, and told: not what this is about.
    await flow.pause(master, other)
    await asyncio.to_thread(ask, other, "REPLICAOF", "NO", "ONE")
    await asyncio.to_thread(ask, master, "REPLICAOF", "127.0.0.1", other.port)
    await until(lambda: replica.health()["status"] != "healthy")
    for sentinel in sentinels.sentinels:
        sentinel.watch(other)
    flow.going.set()
    await flow.flows(client)
    await flow.arrived(client)


async def test_a_link_to_what_is_no_master_is_not_made(sentinels: Sentinels) -> None:
    commands = Commands(Source(sentinels.url, name="gateway"))
    await commands.start()
    master, other = sentinels.master, sentinels.replica
    assert commands.server is not None
    assert commands.server.port == master.port
    await asyncio.to_thread(ask, other, "REPLICAOF", "NO", "ONE")
    await asyncio.to_thread(ask, master, "REPLICAOF", "127.0.0.1", other.port)
    with pytest.raises((ReplyError, RedisUnavailable)):
        await commands.ask("SET", "rt:node:x", "1")
    await until(lambda: not commands.is_up)
    assert await commands.source.master() is not None
    await commands.stop()


def test_the_blocking_publisher_follows_the_master(sentinels: Sentinels) -> None:
    team = Team()
    with Publisher.from_url(sentinels.url) as events:
        assert events.emit(team.id, "e", 1, to=conversation(team.talk)).offset
        until_sync(lambda: ask(sentinels.replica, "EXISTS", f"rt:{{{team.id}}}:meta"))
        killed(sentinels)
        assert events.emit(team.id, "e", 2, to=conversation(team.talk)).queued
        assert events.close(20.0) == 0
    log = f"rt:{{{team.id}}}:log:conversation:{team.talk}"
    entries = ask(sentinels.master, "XRANGE", log, "-", "+")
    assert [fields[1] for _, fields in entries] == [b'["e",1]', b'["e",2]']
