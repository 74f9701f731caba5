"""Hearing one shard of a cluster, without a replica around it."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import AsyncMock, Mock

import pytest

from gateway.core.clock import ServerClock
from gateway.redis.cluster.commands import ClusterCommands, ClusterSource
from gateway.redis.cluster.subscriber import ClusterSubscriber
from publisher import wire
from publisher.address import parse_address
from publisher.rooms import Room
from publisher.topology import slot_of
from tests.support.redis_cluster import RedisCluster, ask
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S, until

# A listener that has no logs to read.
NOBODY = Mock(back=AsyncMock(), moved=AsyncMock())


async def test_a_subscription_that_ends_while_it_is_being_taken_over_is_asked_for_again(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """News of a move comes late: a node may take a slot's subscriptions and end them a moment later."""
    commands = ClusterCommands(ClusterSource(parse_address(cluster.url), name="test"))
    await commands.start()
    heard: list[bytes] = []
    clock = ServerClock(time.monotonic)
    front = ClusterSubscriber(
        commands, on_message=lambda _, data: heard.append(data), listener=NOBODY, clock=clock
    )
    await front.start()
    try:
        tenant = new_id()
        channel = wire.channel(tenant, Room("conversation:1")).encode()
        await asyncio.wait_for(front.subscribe(channel), PATIENCE_S)
        owner, ear = cluster.owner(tenant), front.of(tenant)
        fence, ended = ear.fence, 0

        def end() -> None:
            nonlocal ended
            ended += 1
            ask(owner, "CLUSTER", "DELSLOTS", slot_of(channel))
            ask(owner, "CLUSTER", "ADDSLOTS", slot_of(channel))

        async def fence_and_end() -> None:
            await fence()
            if ended == 1:
                end()
                await fence()

        monkeypatch.setattr(ear, "fence", fence_and_end)
        end()
        await until(lambda: ended == 2 and ask(owner, "SPUBLISH", channel, "x") == 1)
        await until(lambda: heard != [])
    finally:
        await front.stop()
        await commands.stop()
