"""Coming back."""

from __future__ import annotations

import asyncio

import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation, user
from tests.recovery.conftest import Join, Team, comes_back_trimmed, numbers
from tests.support.client import Clients, RawClient
from tests.support.publisher_process import PublisherProcess, Publishers
from tests.support.redis_server import RedisServers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import new_id
from tests.support.waiting import until


async def test_works_before_any_event_was_received(
    clients: Clients, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    client = await clients(replica_pair[0].url, team.token()).connect()
    await client.wait_for("connected")
    client.drop()
    await backend.acall("emit", team.id, "test:event", {"n": 1}, to=user(team.agent))
    await client.reconnect(replica_pair[1].url)
    await client.wait_for("test:event")
    assert client.recovered


async def test_works_before_even_the_offset_of_connected_was_received(
    clients: Clients, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    client = await clients(replica_pair[0].url, team.token()).connect()
    client.drop()
    await backend.acall("emit", team.id, "test:event", {"n": 1}, to=user(team.agent))
    await client.connect(url=replica_pair[1].url, pid=client.pid, offset=None)
    await client.wait_for("test:event")
    assert client.recovered


async def test_five_drops_in_a_row(
    agent: Join, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    client = await agent(replica_pair[0].url)
    for number in range(5):
        client.drop()
        await team.note(backend, number)
        await client.reconnect(replica_pair[number % 2].url)
    await client.wait_for("test:event", count=5)
    assert numbers(client) == list(range(5))
    assert client.recoveries == [True] * 5


async def test_an_idle_second_drop_replays_nothing(
    agent: Join, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    client = await agent(replica_pair[0].url)
    client.drop()
    await team.note(backend, 1)
    for turn in (1, 2, 3):
        await client.reconnect(replica_pair[turn % 2].url)
        await client.wait_for("connected", count=turn + 1)
        client.drop()
    await client.reconnect()
    await team.note(backend, 2)
    await client.wait_for("test:event", where=lambda event: event.data["n"] == 2)
    assert numbers(client) == [1, 2]


async def test_two_hundred_reconnects_at_once_are_all_recovered(
    agent: Join, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    client = await agent(replica_pair[0].url)
    for turn in range(200):
        client.drop()
        await client.reconnect(replica_pair[turn % 2].url)
        if turn % 20 == 0:
            await team.note(backend, turn)
    await client.wait_for("test:event", count=10)
    assert client.recoveries == [True] * 200
    assert numbers(client) == list(range(0, 200, 20))


async def test_many_that_return_to_a_long_history_do_not_fill_redis(
    clients: Clients, team: Team, redis_servers: RedisServers, replicas: Replicas, publishers: Publishers
) -> None:
    asyncio.get_running_loop().set_debug(False)
    # More than this for one connection, and Redis ends it.
    server = redis_servers(options=("--client-output-buffer-limit", "normal", "24mb", "0", "0"))
    replica, backend = replicas(server.url), publishers(server.url)
    crowd = [clients(replica.url, team.token(new_id())) for _ in range(40)]
    await asyncio.gather(*(client.connect() for client in crowd))
    await asyncio.gather(*(client.join(team.talk) for client in crowd))
    for client in crowd:
        client.drop()
    room, events = conversation(team.talk), 200
    large = [{"n": number, "pad": "x" * 10_000} for number in range(events)]
    await asyncio.gather(*(backend.acall("emit", team.id, "test:event", data, to=room) for data in large))
    await asyncio.gather(*(client.reconnect() for client in crowd))
    await asyncio.gather(*(client.wait_for("test:event", count=events) for client in crowd))
    assert all(numbers(client) == list(range(events)) for client in crowd)
    assert all(client.recoveries == [True] for client in crowd)
    assert replica.health()["redis_reconnects"] == 0


async def test_idle_for_many_heartbeats_then_a_drop(
    agent: Join, team: Team, redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers
) -> None:
    heartbeat = {"GATEWAY_PING_INTERVAL_S": "0.1", "GATEWAY_PING_TIMEOUT_S": "1"}
    here, there = replicas(redis_server.url, **heartbeat), replicas(redis_server.url, **heartbeat)
    backend = publishers(redis_server.url)
    client = await agent(here.url)
    await team.note(backend, 1)
    await client.wait_for("test:event")
    await asyncio.sleep(3.0)
    assert client.connected
    client.drop()
    await team.note(backend, 2)
    await client.reconnect(there.url)
    await client.wait_for("test:event", count=2)
    assert client.recovered
    assert numbers(client) == [1, 2]


async def test_who_is_not_recovered_is_told_why(clients: Clients, team: Team, replica_pair: list[Replica]) -> None:
    url = replica_pair[0].url
    mine = await clients(url, team.token()).connect()
    await mine.wait_for("connected")

    async def told(pid: str, offset: str | None, person: str | None = None) -> str:
        client = await clients(url, team.token(person)).connect(pid=pid, offset=offset)
        greeting = await client.wait_for("connected")
        assert not greeting.data["recovered"]
        return str(greeting.data["reason"])

    assert mine.pid is not None
    assert mine.offset is not None
    assert await told("never-given-to-anyone", mine.offset) == "unknown"
    assert await told("never-given-to-anyone", "deadbeef-1") == "epoch"
    assert await told(mine.pid, mine.offset, new_id()) == "identity"
    assert await told(mine.pid, "nonsense") == "unknown"
    first = await clients(url, team.token()).connect()
    await first.wait_for("connected")
    assert not any("reason" in event.data for event in first.named("connected"))


async def test_a_client_without_recovery_asks_for_what_it_missed_when_it_joins(
    clients: Clients, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    client = await clients(replica_pair[0].url, team.token()).connect()
    joined = await client.join(team.talk)
    for number in range(3):
        await team.note(backend, number)
    await client.wait_for("test:event", count=3)
    seen = client.named("test:event")[1].offset
    client.drop()
    for number in range(3, 6):
        await team.note(backend, number)
    again = await clients(replica_pair[1].url, team.token()).connect()
    answer = await again.join(team.talk, since=seen)
    assert [event["data"]["n"] for event in answer["events"]] == [2, 3, 4, 5]
    assert answer["complete"]
    await team.note(backend, 6)
    await again.wait_for("test:event")
    assert numbers(again) == [6]
    all_of_it = await clients(replica_pair[1].url, team.token()).connect()
    answer = await all_of_it.join(team.talk, since=joined["offset"])
    assert [event["data"]["n"] for event in answer["events"]] == [0, 1, 2, 3, 4, 5, 6]
    newest = await clients(replica_pair[1].url, team.token()).connect()
    answer = await newest.join(team.talk, history=2)
    assert [event["data"]["n"] for event in answer["events"]] == [5, 6]


async def has_all_since(offset: str | None, client: RawClient, team: Team) -> bool:
    """Return whether the answer to a join from an offset says that it is complete."""
    return bool((await client.join(team.talk, since=offset))["complete"])


async def test_trimmed_history_is_told_to_both_kinds_of_client(
    agent: Join,
    clients: Clients,
    team: Team,
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    publishers: Publishers,
) -> None:
    replica = replicas(redis_server.url, GATEWAY_HISTORY_SIZE="5", GATEWAY_HISTORY_MAX_EVENTS="5")
    backend = publishers(redis_server.url)
    client = await agent(replica.url)
    await team.note(backend, 0)
    last = (await client.wait_for("test:event")).offset
    client.drop()
    for number in range(1, 8):
        await team.note(backend, number)
    await comes_back_trimmed(client)
    assert not await has_all_since(last, await clients(replica.url, team.token()).connect(), team)


async def test_flushed_history_is_told_to_both_kinds_of_client(
    agent: Join,
    clients: Clients,
    team: Team,
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    publishers: Publishers,
) -> None:
    replica = replicas(redis_server.url, may_log=("history_lost",))
    backend = publishers(redis_server.url)
    client = await agent(replica.url)
    await team.note(backend, 0)
    last = (await client.wait_for("test:event")).offset
    async with redis.asyncio.Redis.from_url(redis_server.url) as connection:
        await connection.flushall()
    await team.note(backend, 1)
    client.stay()
    await until(lambda: any(event.data.get("reason") == "epoch" for event in client.named("connected")))
    assert not await has_all_since(last, await clients(replica.url, team.token()).connect(), team)
    await team.note(backend, 2)
    await until(lambda: numbers(client)[-1:] == [2], what="the room to be kept")


async def test_a_room_that_was_taken_and_joined_again_is_kept(
    agent: Join, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    # Another agent holds the room on this replica, so the rejoin does not ask Redis for its place.
    client, _ = await agent(replica_pair[0].url), await agent(replica_pair[0].url, new_id())
    await backend.acall("leave_room", team.id, team.agent, conversation(team.talk))
    await client.wait_for("left_conversation")
    await client.join(team.talk)
    client.drop()
    await team.note(backend, 1)
    await client.reconnect(replica_pair[1].url)
    await client.wait_for("test:event")
    assert client.recovered


async def test_who_comes_back_to_much_is_greeted_before_the_warning_of_the_tokens_end(
    clients: Clients, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    client = await clients(replica_pair[0].url, team.token(ttl_s=30)).connect()
    await client.wait_for("auth:expiring")
    client.drop()
    large, room = [{"pad": "x" * 10_000} for _ in range(100)], user(team.agent)
    await asyncio.gather(*(backend.acall("emit", team.id, "test:event", data, to=room) for data in large))
    await client.reconnect(replica_pair[1].url)
    await client.wait_for("auth:expiring", count=2)
    own = [event.name for event in client.events if event.name != "test:event"]
    assert own == ["connected", "auth:expiring"] * 2
