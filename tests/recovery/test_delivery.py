"""What is delivered, and what a browser or a backend may do twice."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation, wire
from publisher.rooms import Room
from tests.faults.rows import ROWS
from tests.faults.scenarios import load_all
from tests.recovery.conftest import Behind, Join, Team, comes_back_trimmed, numbers
from tests.support.client import Clients, RawClient
from tests.support.publisher_process import PublisherProcess, Publishers
from tests.support.replica import Replica, Replicas
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]

# What README promises, line by line, and what shows it: rows of tests/faults, or tests.
PROMISES = {
    "Once": ("cuts", "answers_lost", "left_out", "everything"),
    "In order": ("cuts", "killed", "resets", "everything"),
    "Or told": ("trimmed", "emptied", "flushed", "reader_stops", "expired"),
    "Through faults": (
        "cuts",
        "killed",
        "rolling_restart",
        "reader_recovers",
        "cut_off",
        "half_open",
        "redis_killed",
    ),
    "Isolated": ("foreign_pids", "arrivals"),
}


async def test_twenty_drops_at_a_steady_rate_miss_and_repeat_nothing(
    agent: Join, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    client = await agent(replica_pair[0].url)
    sent = 0
    for drop in range(20):
        client.drop()
        for _ in range(3):
            sent += 1
            await team.note(backend, sent)
        await client.reconnect(replica_pair[drop % 2].url)
        sent += 1
        await team.note(backend, sent)
    await until(lambda: len(numbers(client)) >= sent)
    assert numbers(client) == list(range(1, sent + 1))
    assert client.recoveries == [True] * 20


def test_every_promise_that_is_written_down_is_shown_by_a_fault() -> None:
    load_all()
    section = (ROOT / "README.md").read_text().partition("## What is promised")[2].partition("\n## ")[0]
    written = re.findall(r"^\d+\. \*\*([^*]+)\*\*", section, re.MULTILINE)
    assert sorted(written) == sorted(PROMISES)
    rows = {row.name: row for row in ROWS}
    assert {name for names in PROMISES.values() for name in names} <= {*rows}
    # `make test` plays one of them at least; `make faults` all.
    assert all(any(rows[name].real for name in names) for names in PROMISES.values())
    for limit in ("typing and presence", "comes back empty", "replication"):
        assert limit in section


async def test_a_command_that_is_resent_is_done_once(
    agent: Join, team: Team, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    client = await agent(replica_pair[0].url)
    other = Team(team.id)
    packet = "20" + json.dumps(["join_conversation", {"conversation_id": other.talk}])
    assert client.channel is not None
    for _ in range(5):
        client.channel.send(packet)  # socket.io-client's `retries`: the same packet, with the same id
    await client.join(other.talk)
    await other.note(backend, 1)
    await client.wait_for("test:event")
    leaving = "21" + json.dumps(["leave_conversation", {"conversation_id": other.talk}])
    for _ in range(5):
        client.channel.send(leaving)
    await client.call("leave_conversation", {"conversation_id": other.talk})
    await other.note(backend, 2)
    await team.note(backend, 3)
    await client.wait_for("test:event", count=2)
    assert numbers(client) == [1, 3]


async def test_a_publisher_without_redis_keeps_the_order_and_sends_it_all(
    agent: Join, team: Team, lasting_redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers
) -> None:
    client = await agent(replicas(lasting_redis_server.url).url)
    backend = publishers(lasting_redis_server.url, timeout_s=0.25)
    lasting_redis_server.stop()
    receipts = await asyncio.gather(*(team.note(backend, number) for number in range(50)))
    assert all(receipt.queued for receipt in receipts)
    assert (await backend.acall("counters"))["dropped"] == 0
    lasting_redis_server.start()
    await until(lambda: len(numbers(client)) >= 50)
    assert numbers(client) == list(range(50))
    assert await backend.acall("unsent") == 0


async def test_redis_in_maintenance_drops_no_socket_and_is_said_and_made_good(
    agent: Join, team: Team, lasting_redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers
) -> None:
    replica = replicas(lasting_redis_server.url)
    backend = publishers(lasting_redis_server.url, timeout_s=0.25)
    client = await agent(replica.url)
    lasting_redis_server.stop()
    await until(lambda: replica.get("/health/ready")[0] == 503)
    assert replica.health()["status"] == "degraded"
    queued = [await team.note(backend, number) for number in range(3)]
    lasting_redis_server.start()
    await client.wait_for("test:event", count=len(queued))
    await until(lambda: replica.get("/health/ready")[0] == 200)
    assert numbers(client) == [0, 1, 2]
    assert (client.connected, client.recoveries) == (True, [])


async def test_clients_of_a_replica_that_is_cut_from_redis_miss_nothing(
    agent: Join,
    team: Team,
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    behind_proxy: Behind,
    publishers: Publishers,
) -> None:
    # The proxy is on this loop, which stands still while a process starts: it comes last.
    whole, backend = replicas(redis_server.url), publishers(redis_server.url)
    proxy, cut = await behind_proxy(redis_server.port)
    there, here = await agent(cut.url), await agent(whole.url)
    await proxy.refuse()
    for number in range(20):
        await team.note(backend, number)
    await here.wait_for("test:event", count=20)
    assert numbers(there) == []
    await proxy.start()
    await there.wait_for("test:event", count=20)
    assert numbers(there) == numbers(here) == list(range(20))
    assert there.recoveries == []


async def _unheard(client: redis.asyncio.Redis, team: Team, *, kept: bool) -> None:
    """Have an event happen that no replica hears of; `kept` says whether the log has it, as it should."""
    room = Room(conversation(team.talk))
    meta, log, tail = wire.meta_key(team.id), wire.log_key(team.id, room), wire.tail_key(team.id, room)
    seq = int(await client.hget(meta, "seq") or 0) + 1
    previous = (await client.get(tail) or b"0").split()[0]
    await client.hset(meta, "seq", str(seq))
    await client.set(tail, str(seq))
    if kept:
        await client.xadd(log, {"d": '["test:event",{"n":"unheard"}]', "p": previous}, id=f"{seq}-0")


async def _told_of_a_hole(client: RawClient) -> None:
    await client.dropped()
    await comes_back_trimmed(client)


async def test_a_hole_found_while_connected_is_told_to_its_clients_only(
    agent: Join, team: Team, stage_redis: EmbeddedRedis, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    inside, outside = await agent(replica_pair[0].url), await agent(replica_pair[0].url)
    await outside.call("leave_conversation", {"conversation_id": team.talk})
    await team.note(backend, 1)
    await inside.wait_for("test:event")
    async with redis.asyncio.Redis.from_url(stage_redis.url) as client:
        await _unheard(client, team, kept=False)
    await team.note(backend, 2)
    await _told_of_a_hole(inside)
    # It keeps its rooms, and goes on.
    await team.note(backend, 3)
    await until(lambda: numbers(inside)[-1] == 3)
    assert outside.connected


async def test_what_was_unheard_long_ago_is_made_good_or_told(
    clients: Clients, stage_redis: EmbeddedRedis, backend: PublisherProcess, replica_pair: list[Replica]
) -> None:
    kept, gone = Team(), Team()
    lucky, unlucky = [await clients(replica_pair[0].url, team.token()).connect() for team in (kept, gone)]
    await asyncio.gather(lucky.join(kept.talk), unlucky.join(gone.talk))
    for team, client in ((kept, lucky), (gone, unlucky)):
        await team.note(backend, 1)
        await client.wait_for("test:event")
    async with redis.asyncio.Redis.from_url(stage_redis.url) as connection:
        await _unheard(connection, kept, kept=True)
        await _unheard(connection, gone, kept=False)
    # Long enough for probes to say that everything was heard: they are wrong, and must not be believed.
    await asyncio.sleep(7.5)
    await kept.note(backend, 2)
    await gone.note(backend, 2)
    await lucky.wait_for("test:event", count=3)
    assert (numbers(lucky), lucky.recoveries) == ([1, "unheard", 2], [])
    await _told_of_a_hole(unlucky)


@pytest.mark.parametrize("retries", [2, 5])
async def test_the_same_idempotency_key_is_one_delivery_and_one_receipt(
    agent: Join, team: Team, backend: PublisherProcess, replica_pair: list[Replica], retries: int
) -> None:
    client = await agent(replica_pair[0].url)
    room = conversation(team.talk)
    receipts = [
        await backend.acall("emit", team.id, "test:event", {"n": number}, to=room, key="the-same")
        for number in range(retries)
    ]
    assert len({receipt.offset for receipt in receipts}) == 1
    assert [receipt.duplicate for receipt in receipts] == [False] + [True] * (retries - 1)
    await team.note(backend, 99)
    await client.wait_for("test:event", count=2)
    assert numbers(client) == [0, 99]
