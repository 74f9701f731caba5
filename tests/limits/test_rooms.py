"""Rooms that one socket may join."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.limits.conftest import limited
from tests.support.client import Clients, RawClient
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id

MOST = 5


@pytest.fixture(scope="module")
def replica(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    return shared_replicas(shared_redis_server.url, GATEWAY_MAX_ROOMS_PER_SOCKET=str(MOST))


def joining(client: RawClient, room: str) -> Any:
    return client.call("join_conversation", {"conversation_id": room})


async def test_of_joins_at_the_same_time_so_many_work(clients: Clients, replica: Replica) -> None:
    client = await clients(replica.url, mint()).connect()
    before = limited(replica).get("max_rooms_per_socket", 0)
    answers = await asyncio.gather(*(joining(client, new_id()) for _ in range(4 * MOST)))
    assert [answer["ok"] for answer in answers] == [True] * MOST + [False] * 3 * MOST
    error = answers[-1]["error"]
    assert (error["code"], error["limit"]) == ("too_many_rooms", "max_rooms_per_socket")
    assert limited(replica)["max_rooms_per_socket"] == before + 3 * MOST


async def test_a_room_that_was_left_makes_place_for_another(clients: Clients, replica: Replica) -> None:
    client = await clients(replica.url, mint()).connect()
    rooms = [new_id() for _ in range(MOST)]
    for room in rooms:
        await client.join(room)
    assert (await joining(client, rooms[0]))["ok"]
    assert not (await joining(client, new_id()))["ok"]
    await client.call("leave_conversation", {"conversation_id": rooms[0]})
    assert (await joining(client, new_id()))["ok"]
    assert not (await joining(client, rooms[0]))["ok"]


async def test_who_comes_back_has_its_rooms_and_no_more(clients: Clients, replica: Replica) -> None:
    client = await clients(replica.url, mint()).connect()
    await client.wait_for("connected")
    rooms = [new_id() for _ in range(MOST)]
    for room in rooms:
        await client.join(room)
    client.drop()
    await client.reconnect()
    assert client.recovered
    assert not (await joining(client, new_id()))["ok"]
    for room in rooms:
        assert (await joining(client, room))["ok"]
